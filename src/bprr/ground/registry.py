"""Policies by name: a new one is one file in its room, found without being listed anywhere."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

__all__ = ["Registry"]

Policy = TypeVar("Policy")


class Registry(Mapping[str, Policy], Generic[Policy]):
    """Policies of one kind, registered by decorator from the modules of one package.

    Parameters
    ----------
    kind : str
        What is registered, for messages.
    package : str
        Package whose modules hold the policies; imported at the first look-up.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind, self.package = kind, package
        self._policies: dict[str, Policy] = {}
        self._loaded = False

    def register(self, name: str) -> Callable[[Policy], Policy]:
        """Register the decorated policy under a name; a name taken twice is an error."""

        def add(entry: Policy) -> Policy:
            if name in self._policies:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._policies[name] = entry
            return entry

        return add

    def _load(self) -> None:
        if not self._loaded:
            self._loaded = True
            package = importlib.import_module(self.package)
            for module in pkgutil.iter_modules(package.__path__):
                importlib.import_module(f"{self.package}.{module.name}")

    def __getitem__(self, name: str) -> Policy:
        self._load()
        if name not in self._policies:
            raise KeyError(f"{self.kind} {name!r} is unknown; known: {', '.join(self)}")
        return self._policies[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(sorted(self._policies))

    def __len__(self) -> int:
        self._load()
        return len(self._policies)
