"""Workspace folder: artefacts named by the hash of what made them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import ArtefactError, pass_on_interrupt
from workbench.files import (
    atomic_folder,
    digest,
    package_version,
    read_artefact_manifest,
    write_artefact_manifest,
)


@dataclass(frozen=True)
class Workspace:
    """A folder of artefacts, each named by the hash of what made it.

        log/<hash>/  embeddings/<embedder>/  index/<hash>/  credit/<method>-<hash>/
        exports/<target>-<hash>/

    Next to them lie people's marks on steps, `marks/` (see `marks.Marks`).

    Args:
        root: The folder; made when first written to.
    """

    root: Path

    def place(self, kind: str, label: str, inputs: Mapping[str, Any]) -> Path:
        """The folder that an artefact has or would have; for the arguments see `artefact`."""
        name = digest(_made_by(inputs))[:16]
        return self.root / kind / (f"{label}-{name}" if label else name)

    def artefact(
        self, kind: str, label: str, inputs: Mapping[str, Any], build: Callable[[Path], None]
    ) -> tuple[Path, bool]:
        """The folder of an artefact, built only if it is not there whole.

        Args:
            kind: Sub-folder of the workspace.
            label: Readable part of the name; may be empty.
            inputs: All that decides the content; JSON-able.
            build: Writes the files into the folder it is given.

        Returns:
            The folder, and whether it was built now.

        Raises:
            ArtefactError: It is there, but damaged.
        """
        folder = self.place(kind, label, inputs)
        if folder.exists():
            read_artefact_manifest(folder)
            return folder, False
        with atomic_folder(folder) as temporary:
            build(temporary)
            write_artefact_manifest(temporary, _made_by(inputs))
        return folder, True


def read_table(path: Path) -> pl.DataFrame:
    """A Parquet file that is rebuilt where it is missing.

    Raises:
        ArtefactError: It cannot be read.
    """
    try:
        return pl.read_parquet(path, glob=False)
    except (OSError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        pass_on_interrupt(error)
        raise ArtefactError(
            f"{path} cannot be read: {error}. Hint: remove it and run again"
        ) from error


def _made_by(inputs: Mapping[str, Any]) -> dict[str, Any]:
    return {"inputs": dict(inputs), "version": package_version()}
