"""What code a result depends on: the source of some modules and of all that they import."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

__all__ = ["files_of", "source_hash"]

HOUSE = Path(__file__).parents[1]


def source_hash(*modules: str | Path) -> str:
    """Hash of the files of `files_of`; in a rule's parameters, so that changed code runs again."""
    return _source_hash(modules)


def files_of(*modules: str | Path) -> set[Path]:
    """Source that some modules run: their own and, transitively, that of what they import.

    Imports inside functions count, those for type checkers alone do not. They are followed inside
    `bprr` and the packages that are named. The ``__init__`` of a package on the way counts, but
    what it imports only does where a name is taken from it. Modules that are found at run time, as
    a registry's are, must be named. A file of another kind beside a module counts if the module
    names it in quotes.

    Parameters
    ----------
    *modules : str or Path
        Dotted names (a package stands for all that is in it), or files outside any package.

    Raises
    ------
    ModuleNotFoundError
        If there is no such module.
    """
    return set(_named_files(modules))


@cache
def _source_hash(modules: tuple[str | Path, ...]) -> str:
    digest = hashlib.sha256()
    for path, name in sorted(_named_files(modules).items(), key=lambda item: (item[1], item[0])):
        content = _content(path)
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _named_files(modules: tuple[str | Path, ...]) -> dict[Path, str]:
    """The files, each with a name that does not depend on where the packages lie."""
    roots = {HOUSE.name: HOUSE}
    waiting: list[tuple[str, Path]] = []
    for module in modules:
        if isinstance(module, Path):
            waiting.append(("", module))
            continue
        top = module.partition(".")[0]
        if top not in roots:
            roots[top] = _root(top)
        path = _path_of(module, roots)
        if path is None:
            raise ModuleNotFoundError(f"no module named {module!r}")
        waiting.append((module, path))
        if path.name == "__init__.py":
            inside = path.parent.rglob("*.py")
            waiting += [(_dotted(file, path.parent, module), file) for file in inside]

    found: dict[Path, str] = {}
    followed = set()
    while waiting:
        module, path = waiting.pop()
        if path in followed:
            continue
        followed.add(path)
        found[path] = module or path.name
        found |= {file: f"{module}/{file.name}" for file in _named_beside(path)}
        for package in _packages(module.rpartition(".")[0]):
            init = _path_of(package, roots)
            if init is not None:
                found.setdefault(init, package)
        for name in _imports(path, module):
            for imported in (name, name.rpartition(".")[0]):
                target = _path_of(imported, roots)
                if target is not None:
                    waiting.append((imported, target))
                    break
    return found


def _packages(name: str) -> Iterator[str]:
    """A dotted name and the packages around it: ``a.b`` and ``a``."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _root(top: str) -> Path:
    """Folder of a package, or file of a module, that is not inside another."""
    spec = find_spec(top)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        raise ModuleNotFoundError(f"no module named {top!r}")
    origin = Path(spec.origin)
    return origin.parent if origin.name == "__init__.py" else origin


def _path_of(module: str, roots: dict[str, Path]) -> Path | None:
    top, *inside = module.split(".")
    if top not in roots:
        return None
    root = roots[top]
    if root.suffix == ".py":
        return None if inside else root
    return _file_in(root, tuple(inside))


@cache
def _file_in(root: Path, inside: tuple[str, ...]) -> Path | None:
    folder = root.joinpath(*inside)
    for path in (folder / "__init__.py", folder.with_name(f"{folder.name}.py")):
        if path.is_file():
            return path
    return None


def _dotted(file: Path, folder: Path, package: str) -> str:
    parts = file.relative_to(folder).with_suffix("").parts
    return ".".join((package, *(part for part in parts if part != "__init__")))


@cache
def _content(path: Path) -> bytes:
    return path.read_bytes()


@cache
def _named_beside(path: Path) -> tuple[Path, ...]:
    content = _content(path)
    return tuple(file for file in _data_in(path.parent) if f'"{file.name}"'.encode() in content)


@cache
def _data_in(folder: Path) -> tuple[Path, ...]:
    return tuple(file for file in folder.iterdir() if file.is_file() and ".py" not in file.name)


@cache
def _imports(path: Path, module: str) -> tuple[str, ...]:
    """Dotted names that a file imports: of modules, or of what is taken from them."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return tuple(_imported(ast.parse(_content(path), str(path)), package))


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            around = package.split(".")[: len(package.split(".")) - level + 1] if level else []
            origin = ".".join([*around, *([module] if module else [])])
            yield from (f"{origin}.{alias.name}" for alias in names)
        case ast.If(test=ast.Name("TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
            for otherwise in node.orelse:
                yield from _imported(otherwise, package)
        case _:
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.stmt | ast.excepthandler | ast.match_case):
                    yield from _imported(child, package)
