"""Files of the same records in each container that readers of records know."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

Rows = Sequence[dict[str, Any]]


def as_lines(records: Rows) -> bytes:
    """One record per line."""
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


def as_array(records: Rows) -> bytes:
    """One JSON array."""
    return json.dumps(list(records), indent=1).encode()


def as_spread(records: Rows) -> bytes:
    """Objects over several lines, one behind another."""
    return "\n".join(json.dumps(record, indent=2) for record in records).encode()


def as_parquet_of_texts(records: Rows) -> bytes:
    """A table whose lists and objects are JSON text."""
    file = io.BytesIO()
    pl.DataFrame(_flat(records), infer_schema_length=None, strict=False).write_parquet(file)
    return file.getvalue()


def as_parquet_of_structures(records: Rows) -> bytes:
    """A table whose lists and objects are such, as far as Arrow has types for them.

    A column with values of several types is JSON text, as whoever writes it has to do.
    """
    names = dict.fromkeys(name for record in records for name in record)
    columns: dict[str, Any] = {}
    for name in names:
        values = [record.get(name) for record in records]
        try:
            column = pa.array(values)
            pq.write_table(pa.table({name: column}), io.BytesIO())
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            column = pa.array([row.get(name) for row in _flat(records)])
        columns[name] = column
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


def as_csv(records: Rows) -> bytes:
    """A table of text."""
    rows = [
        {name: str(value) if isinstance(value, bool) else value for name, value in row.items()}
        for row in _flat(records)
    ]
    return pl.DataFrame(rows, infer_schema_length=None, strict=False).write_csv().encode()


def as_gzip(records: Rows) -> bytes:
    """Lines, compressed."""
    return gzip.compress(as_lines(records))


def as_zstd(records: Rows) -> bytes:
    """An array, compressed."""
    return bytes(pa.Codec("zstd").compress(as_array(records), asbytes=True))


CONTAINERS: dict[str, Callable[[Rows], bytes]] = {
    "lines": as_lines,
    "array": as_array,
    "objects over several lines": as_spread,
    "Parquet of JSON texts": as_parquet_of_texts,
    "Parquet of structures": as_parquet_of_structures,
    "CSV": as_csv,
    "gzip": as_gzip,
    "zstd": as_zstd,
}


def _flat(records: Rows) -> list[dict[str, Any]]:
    """Records whose lists and objects are JSON text, and columns of several types as well."""
    names = dict.fromkeys(name for record in records for name in record)
    return [
        {name: _cell(record.get(name), _is_mixed(name, records)) for name in names}
        for record in records
    ]


def _cell(value: Any, is_mixed: bool) -> Any:
    is_text = value is None or isinstance(value, str)
    return (
        json.dumps(value) if isinstance(value, list | dict) or (is_mixed and not is_text) else value
    )


def _is_mixed(name: str, records: Rows) -> bool:
    kinds = {type(record.get(name)) for record in records} - {type(None)}
    return len(kinds) > 1 and kinds != {int, float}
