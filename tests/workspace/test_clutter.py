from __future__ import annotations

import os
from pathlib import Path

import pytest

from workbench.workspace.clutter import places, remove


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, with what the app and two killed processes left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    home = tmp_path / "cache" / "trajectory-workbench"
    for name, size in (
        ("embeddings/e/a.npy", 10),
        ("app/uploads/0/log.jsonl", 20),
        ("app/marks/m.jsonl", 3),
        ("embeddings/.e.x.part/new/b.npy", 5),
    ):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(b"x" * size)
    (tmp_path / "here" / ".log.parquet.y.part").write_bytes(b"1234567")
    return home


def test_each_kind_is_told_with_its_size(home: Path):
    now = (home / "embeddings" / ".e.x.part").stat().st_mtime
    # What is younger than an hour may belong to a process that still runs.
    found = {(place.kind, place.path.name): place.bytes for place in places(now=now)}
    assert found == {
        ("embeddings", "embeddings"): 15, ("uploads", "uploads"): 20, ("marks", "marks"): 3,
    }  # fmt: skip
    old = {place.path.name: place.bytes for place in places(now=now + 4000)}
    assert old[".e.x.part"] == 5
    assert old[".log.parquet.y.part"] == 7


def test_only_the_kinds_that_are_asked_for_go(home: Path):
    later = (home / "embeddings").stat().st_mtime + 4000
    gone = remove(places(now=later), ["leftovers", "marks"])
    assert sorted(place.bytes for place in gone) == [5, 7]
    assert sorted(os.listdir(home / "embeddings")) == ["e"]  # noqa: PTH208  names alone
    assert (home / "app" / "marks").is_dir()


def test_what_a_living_process_writes_is_no_leftover(home: Path):
    # Whatever the clock says: it may have jumped.
    (home / "log").mkdir()
    mine, dead = (home / "log" / f".a.{pid}-x.part" for pid in (os.getpid(), 2**22 + 1))
    for path in (mine, dead):
        path.write_bytes(b"x")
        os.utime(path, (0, 0))
    gone = remove(places(now=10_000.0), ["leftovers"])
    assert [place.path.name for place in gone] == [dead.name]
    assert mine.exists()


def test_a_leftover_is_as_old_as_what_was_last_written_in_it(home: Path):
    holder = home / "embeddings" / ".e.x.part"
    (home / ".parts").mkdir()
    for path in (home / ".parts", holder, *holder.rglob("*")):
        os.utime(path, (0, 0))
    os.utime(holder / "new" / "b.npy", (9000, 9000))
    found = {place.path.name for place in places(now=10_000.0) if place.kind == "leftovers"}
    assert found == {".parts"}
