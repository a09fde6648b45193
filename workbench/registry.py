"""Registry of named entries, found in a folder of this package and in installed packages.

A module of the folder registers its entries when it is imported; so does the module that another
package names under an entry point of the registry's group. Both are imported at the first look-up,
so that start-up stays light.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from threading import RLock
from typing import Generic, TypeVar

from workbench.errors import PluginError, UnknownNameError

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Entries by name, in alphabetical order.

    Args:
        kind: What an entry is, for messages: "method".
        folder: Package whose modules register entries.
        nested: Whether modules of its sub-packages do so too.
        group: Entry-point group of other packages; the value of an entry point is a module.

    Raises:
        UnknownNameError: On the look-up of a name that nothing has; lists the names that exist.
        PluginError: A module that another package names cannot be imported.
    """

    def __init__(self, kind: str, *, folder: str, group: str, nested: bool = False) -> None:
        self.kind = kind
        self.group = group
        self._folder = folder
        self._nested = nested
        self._entries: dict[str, T] = {}
        self._loaded = False
        self._lock = RLock()

    def add(self, name: str, entry: T) -> T:
        """Add an entry.

        Raises:
            PluginError: Another entry has the name.
        """
        if name in self._entries:
            raise PluginError(f"two {self.kind}s are called {name!r}. Hint: rename one of them")
        self._entries[name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an entry out again."""
        del self._entries[name]

    def load(self) -> None:
        """Import every module that registers entries, once."""
        with self._lock:
            if self._loaded:
                return
            # Modules that are imported now may look names up themselves.
            self._loaded = True
            try:
                package = import_module(self._folder)
                modules = pkgutil.walk_packages if self._nested else pkgutil.iter_modules
                for module in modules(package.__path__, f"{self._folder}."):
                    import_module(module.name)
                for point in sorted(entry_points(group=self.group)):
                    try:
                        point.load()
                    except Exception as error:
                        raise PluginError(
                            f"{_package(point)} names {point.value!r} under {self.group}, which "
                            f"cannot be imported: {type(error).__name__}: {error}. "
                            "Hint: mend or uninstall that package"
                        ) from error
            except BaseException:
                self._loaded = False
                raise

    def __getitem__(self, name: str) -> T:
        self.load()
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries)
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self.load()
        return len(self._entries)


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "a package"
