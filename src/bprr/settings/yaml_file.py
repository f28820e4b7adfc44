"""The only reader of YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from bprr.ground.errors import InputError

__all__ = ["read_yaml"]


class _UniqueKeys(yaml.SafeLoader):
    """YAML loader that refuses a key written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found: list[Any] = []
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=deep)
            if key in found:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} a second time", key_node.start_mark
                )
            found.append(key)
        return super().construct_mapping(node, deep)


# YAML 1.1, which PyYAML reads, takes 1e5 for text; everyone means a number.
_UniqueKeys.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+"),
    list("-+0123456789."),
)


def read_yaml(path: Path) -> dict[str, Any]:
    """Mapping in a YAML file.

    Raises
    ------
    InputError
        If the file cannot be read, is no YAML, or is no mapping.
    """
    try:
        content = yaml.load(path.read_text(), Loader=_UniqueKeys)
    except OSError as error:
        raise InputError(path, "file", error.strerror, "a readable YAML file") from None
    except UnicodeDecodeError as error:
        raise InputError(path, "file", str(error), "a YAML file in UTF-8") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f"line {mark.line + 1}" if mark else "file"
        raise InputError(path, line, error.problem or "no YAML", "valid YAML") from None
    except yaml.YAMLError as error:
        raise InputError(path, "file", " ".join(str(error).split()), "valid YAML") from None
    if content is None:
        raise InputError(path, "file", "nothing", "a mapping of keys to values")
    if not isinstance(content, dict):
        raise InputError(path, "file", type(content).__name__, "a mapping of keys to values")
    return content
