"""Hints on files that no reader recognises, by their first bytes."""

from __future__ import annotations

_TABLE = "make a table of steps Parquet: polars.{}.write_parquet('log.parquet')"
_ARRAYS = "it holds {}, and no steps"
_PACKED = "it is packed with {}; unpack it first, or pack it with gzip or zstd"
_UTF16 = "it may be UTF-16 without a byte order mark; convert it with iconv -f {} -t utf-8"
_PICKLE = "it may be a pickle, which can run any code and is never opened"

_BEGINNINGS = {
    b"\x80": _PICKLE,
    b"\x93NUMPY": _ARRAYS.format("a NumPy array"),
    b"\x89HDF": "of HDF5 files only datasets of Minari are read",
    b"ARROW1": _TABLE.format("read_ipc('log.arrow')"),
    b"\xff\xff\xff\xff": _TABLE.format("read_ipc_stream('log.arrow')"),
    b"Obj\x01": _TABLE.format("read_avro('log.avro')"),
    b"SQLite format 3": "it is a database; write the table of steps as CSV or Parquet",
    b"BZh": _PACKED.format("bzip2"),
    b"\xfd7zXZ": _PACKED.format("xz"),
    b"\x04\x22\x4d\x18": _PACKED.format("lz4"),
    b"{\x00": _UTF16.format("utf-16le"),
    b"\x00{": _UTF16.format("utf-16be"),
    b"\x00": "it begins with zero bytes, as after a crash",
}
_MEMBERS = {
    b".npy": _ARRAYS.format("NumPy arrays"),
    b"data.pkl": _PICKLE,
    b"[Content_Types].xml": _TABLE.format("read_excel('log.xlsx')"),
    b"xl/": _TABLE.format("read_excel('log.xlsx')"),
}
"""Part of the name of a zip archive's first member -> what to say."""

OTHERWISE = "workbench formats lists what is read"
"""Hint for a file of no known kind."""


def hint_for(head: bytes) -> str:
    """Hint on what a file without records may be and how to convert it; "" for another.

    Args:
        head: Its first bytes.
    """
    if head.startswith(b"PK\x03\x04"):
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        known = (text for part, text in _MEMBERS.items() if part in name)
        return next(known, "it is a zip archive; unpack it first")
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it and import the folder"
    if head[8:10] == b'{"' and int.from_bytes(head[:8], "little") < 2**32:
        return _ARRAYS.format("tensors (safetensors)")
    return next((text for magic, text in _BEGINNINGS.items() if head.startswith(magic)), "")
