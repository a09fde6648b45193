"""A batch as one file: an export folder in a ZIP archive whose bytes depend on nothing else."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.exporters.base import Exporter
from workbench.exporters.manifest import Manifest
from workbench.exporters.preview import PreviewRow, preview
from workbench.exporters.worth import Worth
from workbench.files import MANIFEST
from workbench.log.credit import ScoredCredit

FOLDER = "batch"
"""Name of the folder in the archive."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that ZIP knows


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A finished batch that has not been given a place yet.

    Args:
        manifest: Its manifest as written.
        manifest_text: The same as the file has it.
        sizes: File -> bytes.
        content: The archive.
        worth: What it is worth.
        preview: Some of its rows.
        plain: The batch's worth and the moments of its advantages without clip, top share and
            weight; None where none of them is set.
    """

    manifest: Manifest
    manifest_text: str
    sizes: Mapping[str, int]
    content: bytes
    worth: Worth
    preview: Sequence[PreviewRow]
    plain: tuple[Worth, Mapping[str, Any]] | None = None


_SHAPING = {"clip": None, "top_share": 1.0, "weight": "none"}
"""The options that shape advantages, at what leaves them as they are."""


def archive(
    target: Exporter,
    log: pl.DataFrame,
    credit: ScoredCredit,
    **options: Any,
) -> Archive:
    """Export into a folder that is gone afterwards, and pack what stood there.

    Args:
        target: Who writes.
        log: A validated step log.
        credit: The credit of the same steps.
        **options: The target's own.

    Raises:
        WorkbenchError: What the target refuses.
    """
    batch = target.assemble(log, credit, **options)
    plain = None
    if any(options.get(name, value) != value for name, value in _SHAPING.items()):
        bare = target.assemble(log, credit, **{**options, **_SHAPING})
        plain = (bare.worth, bare.manifest.advantages)
    with tempfile.TemporaryDirectory() as parent:
        folder = Path(parent) / FOLDER
        manifest = target.save(batch, folder)
        return Archive(
            manifest=manifest,
            manifest_text=(folder / MANIFEST).read_text(encoding="utf-8"),
            sizes={path.name: path.stat().st_size for path in sorted(folder.iterdir())},
            content=zipped(folder),
            worth=batch.worth,
            preview=preview(batch.rows),
            plain=plain,
        )


def zipped(folder: Path) -> bytes:
    """A folder of files as an archive; the same files give the same bytes.

    Files are stored, not compressed: what is large in a batch is compressed already, and the
    bytes would depend on the compressor's version.
    """
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(folder.iterdir()):
            entry = zipfile.ZipInfo(f"{folder.name}/{path.name}", _EPOCH)
            entry.external_attr = 0o644 << 16
            packed.writestr(entry, path.read_bytes())
    return memory.getvalue()
