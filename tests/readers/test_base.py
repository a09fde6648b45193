"""The registry of formats, and how a file is matched with one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
from log_files import assistant, record, user, write_lines
from samples_of import SAMPLES

from workbench.errors import LogError, PluginError
from workbench.readers import Diagnostics, Part, read, reader
from workbench.readers.base import FORMATS

CHAT = SAMPLES / "openai_chat.jsonl"
TAU = SAMPLES / "tau_bench.json"
PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


def test_every_format_has_a_description():
    assert {"chat", "parquet", "tau-bench"} <= set(FORMATS)
    assert all(entry.description for entry in FORMATS.values())


def test_a_new_reader_is_one_class_and_goes_before_the_generic_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS.items()))
    before = set(FORMATS)

    @reader("shouting", description="chat in capitals")
    class Shouting:
        def sniff(self, path: Path, head: bytes) -> bool:
            return b"GO" in head

        def read(self, path: Path, columns: Mapping[str, str]) -> Part:
            return Part(frame=pl.read_parquet(PARQUET), diagnostics=Diagnostics())

    assert set(FORMATS) == before | {"shouting"}
    loud = write_lines(tmp_path / "loud", [record(messages=[user("GO"), assistant("ok")])])
    quiet = write_lines(tmp_path / "quiet", [record()])
    assert read([loud]).format == "shouting"
    assert read([quiet]).format == "chat"


def test_a_file_that_two_formats_claim_asks_for_one_of_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(FORMATS, "_entries", dict(FORMATS.items()))
    for name in ("first", "second"):
        reader(name, description=name)(type(FORMATS["parquet"].reader))
    with pytest.raises(LogError, match=r"several formats fit.*\['first', 'second'\]"):
        read([PARQUET])
    assert read([PARQUET], format="second").frame.height == 9


def test_two_readers_of_one_name_are_refused():
    with pytest.raises(PluginError, match="two formats are called 'chat'"):
        reader("chat", description="")(type(FORMATS["chat"].reader))


def test_files_are_told_by_content_not_by_name(tmp_path: Path):
    for source, form in ((PARQUET, "parquet"), (CHAT, "chat"), (TAU, "tau-bench")):
        copy = tmp_path / "log.xyz"
        copy.write_bytes(source.read_bytes())
        assert read([copy]).format == form


def test_importing_the_readers_loads_nothing_heavy():
    code = (
        "import sys, workbench.readers.base as r; list(r.FORMATS);"
        "heavy = {'torch', 'faiss', 'sentence_transformers', 'streamlit', 'pyarrow', 'sklearn'};"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
