"""What an export target is: a name, and a function from a scored log to a folder.

Example of a module of this package that adds a target:

    @exporter("my-trainer", description="What it is and who reads it.")
    def export(log, credit, provenance, directory, *, overwrite=False) -> Manifest:
        selection = select(log, credit, drop_zero_groups=False)
        ...
        return write_export(directory, write, check, overwrite=overwrite)
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

import polars as pl

from workbench.errors import ParameterError, UnknownNameError
from workbench.exporters.manifest import Manifest


class Export(Protocol):
    """Writes one batch; further options are keyword-only, each with a default."""

    def __call__(
        self,
        log: pl.DataFrame,
        credit: pl.DataFrame,
        provenance: Mapping[str, Any],
        directory: Path,
        **options: Any,
    ) -> Manifest:
        """Writes the folder and returns its manifest.

        Args:
            log: A validated step log.
            credit: The credit of the same steps.
            provenance: How the credit was made: "method" and "log", as in its file.
            directory: The folder to make.
            **options: The target's own.
        """


@dataclass(frozen=True, kw_only=True)
class Exporter:
    """A registry entry.

    Args:
        name: What users type.
        description: One line: what it writes and who reads it.
        export: The function.
        choices: Option -> the values it can have, each with what it means.
    """

    name: str
    description: str
    export: Export
    choices: Mapping[str, Mapping[Any, str]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, Any]:
        """The target's options with their defaults."""
        parameters = inspect.signature(self.export).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def __call__(
        self,
        log: pl.DataFrame,
        credit: pl.DataFrame,
        provenance: Mapping[str, Any],
        directory: Path,
        **options: Any,
    ) -> Manifest:
        """Writes one batch.

        Raises:
            ParameterError: An option that the target does not have, or of the wrong type.
        """
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            raise ParameterError(str(UnknownNameError("export option", unknown[0], self.options)))
        for name, value in options.items():
            kind = bool if isinstance(self.options[name], bool) else str | None
            if not isinstance(value, kind):
                wanted = "true or false" if kind is bool else "text or null"
                raise ParameterError(f"{name} must be {wanted}, got {value!r}")
        return self.export(log, credit, provenance, directory, **options)


_EXPORTERS: dict[str, Exporter] = {}

ExportFunction = TypeVar("ExportFunction", bound=Callable[..., Manifest])


def exporter(
    name: str,
    *,
    description: str,
    choices: Mapping[str, Mapping[Any, str]] | None = None,
) -> Callable[[ExportFunction], ExportFunction]:
    """Registers a function as the target of this name; see `Exporter` for the arguments."""

    def register(export: ExportFunction) -> ExportFunction:
        _EXPORTERS[name] = Exporter(
            name=name, description=description, export=export, choices=choices or {}
        )
        return export

    return register


def targets() -> Mapping[str, Exporter]:
    """All targets by name, sorted."""
    package = importlib.import_module("workbench.exporters")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_EXPORTERS.items()))


def get(name: str) -> Exporter:
    """The target of this name.

    Raises:
        UnknownNameError: There is none.
    """
    known = targets()
    if name not in known:
        raise UnknownNameError("export target", name, known)
    return known[name]
