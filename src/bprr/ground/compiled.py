"""Compiled kernels: cached between runs, never stale, and dispatched by the state they work on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher
from numba.extending import overload

__all__ = ["call_kernel", "compiled", "state_of"]

State = TypeVar("State", bound=type)


def compiled(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """Compile a function on its first call, or load it from the cache of an earlier run.

    It works in the arrays that it is given and makes none: without counted references a kernel
    whose state holds many arrays is up to fifty times as fast. Parallel processes share the cache.
    Where it cannot be written, compiling costs time in every process, and nothing else.
    """
    if function is None:
        return lambda given: compiled(given, **options)
    kernel: Any = njit(function, **{"_nrt": False, "no_cfunc_wrapper": True, **options})
    if isinstance(kernel, Dispatcher):  # not under NUMBA_DISABLE_JIT
        with suppress(RuntimeError):  # no folder for the cache can be written
            kernel._cache = _Cache(function)  # type: ignore[attr-defined]
    return kernel


def state_of(kernel: Any) -> Callable[[State], State]:
    """Decorator of a `NamedTuple` whose instances are the first argument of a kernel."""

    def add(state: State) -> State:
        state.kernel = kernel  # type: ignore[attr-defined]
        return state

    return add


def call_kernel(state: Any, *arguments: Any) -> Any:
    """Call the kernel of a state.

    Compiled functions that call it compile once for each class of states, without a call through a
    pointer: so one compiled loop serves policies that it does not know.
    """
    return state.kernel(*arguments)


@overload(call_kernel)
def _call_kernel(state, *arguments):  # type: ignore[no-untyped-def]
    kernel = state.instance_class.kernel
    return lambda state, *arguments: kernel(state, *arguments)


class _Cache(FunctionCache):
    """Numba's cache of a function, which also knows the source of everything the function calls.

    Numba itself would go on with the old code of a function that another file has changed, and
    fail where the cache cannot be written or holds the class of a user's module.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):  # a cache costs time at worst
            return super().load_overload(sig, target_context)

    def save_overload(self, sig: Any, data: Any) -> None:
        with suppress(Exception):
            super().save_overload(sig, data)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        arguments = getattr(sig, "args", sig)
        states = list(_state_classes(arguments))
        kernels = (getattr(state, "kernel", None) for state in states)
        called = {kernel.py_func for kernel in kernels if isinstance(kernel, Dispatcher)}
        # Text alone: any process can read it, whatever modules it can import.
        named = [f"{state.__module__}.{state.__qualname__}{state._fields}" for state in states]
        source = _source_hash(_files({self._py_func, *called}))
        return (*map(str, arguments), *named, source, *super()._index_key((), codegen)[1:])


def _state_classes(types: Iterable[Any]) -> Iterator[Any]:
    for each in types:
        if hasattr(each, "instance_class"):
            yield each.instance_class
            yield from _state_classes(each.types)


def _files(functions: set[Any]) -> frozenset[str]:
    """Files of these functions and of all kernels that they call."""
    found: set[Any] = set()
    while functions:
        function = functions.pop()
        found.add(function)
        named = (function.__globals__.get(name) for name in function.__code__.co_names)
        functions |= {kernel.py_func for kernel in named if isinstance(kernel, Dispatcher)} - found
    return frozenset(function.__code__.co_filename for function in found)


@cache
def _source_hash(files: frozenset[str]) -> str:
    contents = (Path(file).read_bytes() for file in sorted(files))
    return hashlib.sha256(b"\0".join(contents)).hexdigest()
