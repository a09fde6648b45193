"""Files of other kinds are called what they are."""

from __future__ import annotations

import bz2
import io
import json
import lzma
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from log_files import step

from workbench.errors import LogError
from workbench.readers import read


def _zip(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "x")
    return content.getvalue()


def _tar() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("log.jsonl"))
    return content.getvalue()


def _array() -> bytes:
    content = io.BytesIO()
    np.save(content, np.zeros(3))
    return content.getvalue()


def _arrow() -> bytes:
    content = io.BytesIO()
    pl.DataFrame([step()]).write_ipc(content)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_zip("a.npy"), "it holds NumPy arrays, and no steps"),
        (_zip("archive/data.pkl"), "a pickle, which can run any code and is never opened"),
        (_zip("[Content_Types].xml"), "polars.read_excel('log.xlsx').write_parquet('log.parquet')"),
        (_zip("log.jsonl"), "it is a zip archive; unpack it first"),
        (_tar(), "it is a tar archive; unpack it and import the folder"),
        (pickle.dumps([1]), "a pickle, which can run any code and is never opened"),
        (_array(), "it holds a NumPy array, and no steps"),
        (_arrow(), "polars.read_ipc('log.arrow').write_parquet('log.parquet')"),
        (b'\x0b\0\0\0\0\0\0\0{"a": 1234}', "it holds tensors (safetensors), and no steps"),
        (b"\0" * 99, "it begins with zero bytes, as after a crash"),
        (bz2.compress(b"{}"), "it is packed with bzip2; unpack it first"),
        (lzma.compress(b"{}"), "it is packed with xz; unpack it first"),
        (json.dumps([{"key": 1}]).encode(), "a JSON array of steps under other names: ['key']"),
        (json.dumps({"key": 1}, indent=1).encode(), "it looks like JSON objects of steps"),
        (b'{\r\n "key": 1\r\n}', "--propose-map map.json writes a mapping to start from"),
        ('{"key": 1}'.encode("utf-16-le"), "iconv -f utf-16le -t utf-8"),
        (b"name,score\na,1\n", "workbench formats lists what is read"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(LogError) as caught:
        read([path])
    assert f"format: no reader recognises it, at {path} (begins with" in str(caught.value)
    assert says in str(caught.value)
