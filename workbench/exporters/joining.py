"""Files of the parts of a batch, joined to those of the whole."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import ArtefactError
from workbench.exporters.tables import row_groups, tables_of, write_tables
from workbench.files import file_digest

_AT_ONCE = 2**20


def join(parts: Sequence[Path], folder: Path) -> None:
    """Write each file of the parts with what all of them have in it, in their order.

    The rows of Parquet files follow each other in row groups of the size that a batch has which is
    written at once; of other files the bytes do, as of JSON with an object a line.

    Args:
        parts: Folders with files of the same names.
        folder: Where the files go.
    """
    for path in sorted(parts[0].iterdir()):
        pieces = [part / path.name for part in parts]
        if path.suffix == ".parquet":
            write_tables(tables_of(pieces), folder / path.name, _schema(path))
        else:
            with (folder / path.name).open("wb") as whole:
                for piece in pieces:
                    with piece.open("rb") as opened:
                        shutil.copyfileobj(opened, whole, _AT_ONCE)


def _schema(path: Path) -> pa.Schema:
    """The schema that a Parquet file was written with, names of list items as they were."""
    stored = pq.read_metadata(path).metadata[b"ARROW:schema"]
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(stored)))


def require_joined(parts: Sequence[Path], folder: Path) -> None:
    """Read what `join` wrote and hold it against the parts.

    Raises:
        ArtefactError: It is something else.
    """
    for path in sorted(parts[0].iterdir()):
        pieces, whole = [part / path.name for part in parts], folder / path.name
        if path.suffix == ".parquet":
            both = zip_longest(row_groups(tables_of(pieces)), tables_of([whole]))
            same = all(meant is not None and meant.equals(found) for meant, found in both)
        else:
            same = file_digest(whole) == file_digest(*pieces)
        if not same:
            raise ArtefactError(f"{whole} is not what was written. Hint: export again")
