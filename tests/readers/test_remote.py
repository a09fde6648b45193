"""Files at addresses."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import fsspec
import pytest
from polars.testing import assert_frame_equal
from samples_of import SAMPLES

from workbench.errors import LogError, MissingDependencyError
from workbench.readers import import_log, read

CHAT = SAMPLES / "openai_chat.jsonl"


@pytest.fixture
def store() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    yield system
    system.store.clear()


def test_files_at_an_address_are_read_and_named_by_it(store: Any):
    lines = CHAT.read_text().splitlines(keepends=True)
    store.pipe("/run/a.jsonl", "".join(lines[:2]).encode())
    store.pipe("/run/deep/b.jsonl.gz", gzip.compress("".join(lines[2:]).encode()))
    log = import_log(["memory://run"]).validated.log
    assert set(log["source_file"]) == {"memory:///run/a.jsonl", "memory:///run/deep/b.jsonl.gz"}
    same = import_log([CHAT]).validated.log
    other = ["source_file", "source_line"]
    assert_frame_equal(log.drop(other), same.drop(other))
    assert read(["memory://run/*.jsonl"]).frame.height == 5
    assert read(["memory://run/a.jsonl"]).frame.height == 5


def test_a_table_of_conversations_at_an_address_is_read_beside_its_card(store: Any):
    path = SAMPLES / "chat/swe_rebench_openhands.parquet"
    store.pipe("/datasets/own/name/README.md", b"# A card\n")
    store.pipe("/datasets/own/name/data/train-00000-of-00001.parquet", path.read_bytes())
    imported = import_log(["memory://datasets/own/name"])
    assert imported.report.trajectories == 4
    assert "passed over, at memory:///datasets/own/name/README.md" in str(imported.report)


def test_hidden_files_of_a_folder_at_an_address_are_passed_over(store: Any):
    # The folder that was named may be hidden, or lie in one, as one here may.
    store.pipe("/.kept/_run/a.jsonl", CHAT.read_bytes())
    store.pipe("/.kept/_run/_old/b.jsonl", b"nonsense")
    assert read(["memory://.kept/_run"]).frame.height == read([CHAT]).frame.height
    store.pipe("/other/.trash/a.jsonl", b"nonsense")
    with pytest.raises(LogError, match="the folder holds no file"):
        read(["memory://other"])


def test_files_beside_one_at_an_address_are_found(store: Any):
    for path in sorted((SAMPLES / "atif/harbor_job").rglob("*.json")):
        store.pipe(f"/job/{path.relative_to(SAMPLES / 'atif/harbor_job')}", path.read_bytes())
    log = import_log(["memory://job"]).validated.log
    assert log["reward"].sum() == 2.0
    assert log["source_file"][0] == "memory:///job/find-key__0/agent/trajectory.json"


def test_a_problem_at_an_address_names_the_address(store: Any):
    store.pipe("/run/a.jsonl", b"nonsense")
    with pytest.raises(LogError, match=r"memory:///run/a.jsonl"):
        read(["memory://run/a.jsonl"])
    with pytest.raises(LogError, match="does not exist, at memory://nothing"):
        read(["memory://nothing"])
    with pytest.raises(LogError, match=r"no file matches the pattern, at memory://run/\*.json"):
        read(["memory://run/*.json"])


def test_an_error_of_a_stores_own_package_is_said(store: Any, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: Any) -> None:
        raise RuntimeError("no credentials")

    store.pipe("/run/a.jsonl", CHAT.read_bytes())
    monkeypatch.setattr(type(store), "get_file", refuse)
    with pytest.raises(LogError, match=r"cannot be fetched \(RuntimeError: no credentials\)"):
        read(["memory://run/a.jsonl"])
    monkeypatch.setattr(type(store), "find", refuse)
    with pytest.raises(LogError, match=r"no credentials\), at memory://run. Hint: keys and"):
        read(["memory://run"])


def test_an_address_of_an_unknown_kind_names_the_extra():
    with pytest.raises(MissingDependencyError, match=r"trajectory-workbench\[remote\]"):
        read(["nowhere://bucket/log.jsonl"])
