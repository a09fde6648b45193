"""Parquet files as tables: their columns, and their rows part by part."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from workbench.errors import pass_on_interrupt
from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import PARQUET
from workbench.readers.originals import original_of

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_PART = 2**23  # bytes of columns
_FIRST = 1024  # rows that are decoded at once
_AT_ONCE = 2**22  # bytes of a column


def parquet_columns(path: Path, head: bytes) -> tuple[str, ...]:
    """The names of a Parquet file's columns; none where it is no such file or a damaged one."""
    return tuple(parquet_schema(path)) if head.startswith(PARQUET) else ()


def parquet_schema(path: Path) -> Mapping[str, pl.DataType]:
    """Column -> type of a Parquet file; empty where it cannot be read."""
    try:
        found = path.stat()
    except OSError:
        return {}
    return _schema(path, (found.st_size, found.st_mtime_ns))


@lru_cache(maxsize=64)
def _schema(path: Path, stamp: tuple[int, int]) -> Mapping[str, pl.DataType]:
    # Every format asks for it, and of a file at an address each time would be a request.
    try:
        with _opened(path) as file:
            return _frame([], file.schema_arrow).schema
    except _damages() as error:
        pass_on_interrupt(error)
        return {}


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """A Parquet file, here or at the address that the path stands in for.

    Raises:
        AddressError: It cannot be reached, or is not what was found there.
    """
    import pyarrow.parquet as pq

    # Left to itself, pyarrow reads all columns of all row groups before the first row, and holds
    # them; without a buffer it holds the whole of a row group.
    read_in = partial(pq.ParquetFile, buffer_size=_AT_ONCE, pre_buffer=False)
    original = original_of(path)
    if original is None:
        with read_in(path) as file:
            yield file
        return
    with original.opened() as places:
        try:
            with read_in(places) as file:
                places.part_at = partial(_group_at, file.metadata)
                yield file
        except _damages():
            original.require_unchanged()  # of two versions together, what is read looks damaged
            raise
        original.require_unchanged()


def _group_at(metadata: pq.FileMetaData, offset: int) -> str:
    """The row group that a byte belongs to, in words."""
    count = metadata.num_row_groups
    for number in range(count):
        group = metadata.row_group(number)
        columns = [group.column(at) for at in range(group.num_columns)]
        if any(_begin(c) <= offset < _begin(c) + c.total_compressed_size for c in columns):
            return f"row group {number + 1} of {count}"
    return "its footer"


def _begin(column: pq.ColumnChunkMetaData) -> int:
    dictionary = column.dictionary_page_offset
    return int(column.data_page_offset if dictionary is None else dictionary)


def parquet_frames(
    path: Path,
    diagnostics: Diagnostics,
    *,
    only: Collection[str] | None = None,
    first: int = _FIRST,
    apart: bool = False,
) -> Generator[pl.DataFrame]:
    """The rows of a Parquet file, part by part; at least one part, which may have no row.

    pyarrow reads them: at some lengths that a damaged file can hold, polars ends the process.

    Args:
        path: The file.
        diagnostics: Gets that it is damaged, if so.
        only: Columns to read, where the file has them; None means all.
        first: Rows that are decoded at once, or eight times as many where they are small; a part
            has as many times that as fit.
        apart: Whether those are a part of their own, so that who looks at them reads no more.
    """
    import pyarrow as pa

    try:
        with _opened(path) as file:
            schema = file.schema_arrow
            if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
                hint = "give them names of their own"
                diagnostics.problem("columns", f"several are called {twice}", str(path), hint)
                return
            names = schema.names if only is None else [n for n in schema.names if n in only]
            schema = pa.schema([schema.field(name) for name in names])
            waiting: list[pa.RecordBatch] = []
            is_empty, size = True, 0
            with closing(file.iter_batches(first, columns=names, use_threads=False)) as batches:
                few = next(batches, None)
            # Small rows are decoded more at once, but no row tells how large the last will be.
            at_once = first * (8 if few is not None and few.nbytes * 8 <= _PART else 1)
            given = 0
            if apart and few is not None:
                few.validate(full=True)
                yield _frame([few], schema)
                is_empty, given = False, few.num_rows
            for whole in file.iter_batches(at_once, columns=names, use_threads=False):
                batch, given = whole.slice(given), max(given - whole.num_rows, 0)
                # What a table of Arrow holds is taken as it is by polars, whole texts included.
                batch.validate(full=True)
                waiting.append(batch)
                size += batch.nbytes
                if size >= _PART:
                    yield _frame(waiting, schema)
                    waiting, is_empty, size = [], False, 0
            if waiting or is_empty:
                yield _frame(waiting, schema)
    except _damages() as error:
        pass_on_interrupt(error)
        hint = "it is damaged, cut off or no Parquet file; write it again"
        rule = f"cannot be read as Parquet ({(str(error) or type(error).__name__).splitlines()[0]})"
        diagnostics.problem("file", rule, str(path), hint)


def _damages() -> tuple[type[BaseException], ...]:
    """Errors of a file that is damaged, or holds what a frame cannot."""
    import pyarrow as pa

    polars = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
    return (pa.ArrowException, OSError, UnicodeDecodeError, *polars)


def _frame(batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> pl.DataFrame:
    """Rows of these columns, also if there are none of either."""
    import pyarrow as pa

    table = pa.Table.from_batches(batches, schema=schema.remove_metadata())
    found = pl.from_arrow(table)
    assert isinstance(found, pl.DataFrame)
    found.columns = schema.names  # polars has a name of its own for a column without one
    return found


def null_arguments(value: Any) -> bool:
    """True if a call in a cell has an argument without a value besides one that has some."""
    if isinstance(value, list):
        return any(null_arguments(item) for item in value)
    if not isinstance(value, dict):
        return False
    given = value.get("arguments")
    if isinstance(given, dict):
        lacking = [item is None for item in given.values()]
        return any(lacking) and not all(lacking)
    return any(null_arguments(item) for item in value.values())


def plain_value(value: Any) -> Any:
    """A cell as the JSON value that it stands for.

    Structures lose the keys that only their table had. Bytes, such as those of an image, become
    their digest; dates and the like become text.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    if isinstance(value, dict):
        return {key: plain_value(item) for key, item in value.items() if item is not None}
    if isinstance(value, bytes):
        return f"sha256:{hashlib.sha256(value).hexdigest()}"
    return str(value)


def without_nulls(value: Any) -> Any:
    """Messages without the keys that only their table had: every row has every field there."""
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value
