"""A credit from files in parts: what `score` gives, also after an interruption."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from folders import contents
from places import DATA

import workbench
from workbench.engines import Here
from workbench.errors import ArtefactError
from workbench.files import MANIFEST
from workbench.workspace.partitions import Part

LOG = str(DATA / "household.parquet")
TFIDF = ("--embedder", "tfidf")


def command(*words: object) -> str:
    code = "from workbench.cli import main; main()"
    arguments = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout


def test_processes_write_the_same_bytes_as_one(tmp_path: Path):
    one, two = tmp_path / "one.parquet", tmp_path / "two.parquet"
    said = command("score", LOG, "-m", "proxmo", *TFIDF, "-o", one)
    also = command("score", LOG, "-m", "proxmo", *TFIDF, "-o", two, "--jobs", 2)
    assert said.replace(str(one), str(two)) == also
    assert one.read_bytes() == two.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.parquet", "two.parquet"]


def test_a_run_in_parts_makes_the_same_workspace(tmp_path: Path):
    methods = ("-m", "reinforce++", "-m", "gigpo")
    command("run", LOG, *methods, *TFIDF, "-o", tmp_path / "one")
    command("run", LOG, *methods, *TFIDF, "-o", tmp_path / "two", "--jobs", 2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


class Stopped(Here):
    """Stops, as by Ctrl-C, after some tasks."""

    def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
        yield from super().map(function, tasks[:3])
        raise KeyboardInterrupt


def test_an_interrupted_call_goes_on_where_it_was(tmp_path: Path):
    output = tmp_path / "credit.parquet"

    def score(**options: Any) -> None:
        workbench.score_to(output, [LOG], "grpo", rows=200, cache=tmp_path / "vectors", **options)

    with pytest.raises(KeyboardInterrupt):
        score(engine=Stopped())
    assert not output.exists()
    hidden = tmp_path / ".credit.parquet.parts"
    before = {path: path.stat().st_mtime_ns for path in hidden.rglob("*.parquet")}
    assert len(before) == 4, "the log and three parts"

    class Watched(Here):
        def map(self, function: Callable[[Any], Any], tasks: Sequence[Any]) -> Iterator[Any]:
            yield from super().map(function, tasks)
            assert {path: path.stat().st_mtime_ns for path in before} == before

    score(engine=Watched())
    assert not hidden.exists()
    space = workbench.open_log(LOG, embedder="tfidf")
    whole = workbench.score(space, "grpo").table()
    assert workbench.read_credit(output).table.equals(whole, null_equal=True)


def test_a_call_that_is_killed_while_it_tidies_up_can_be_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = tmp_path / "credit.parquet"
    remove = shutil.rmtree

    def killed(path: str | Path, **options: Any) -> None:
        manifests = list(Path(path).rglob(MANIFEST))
        for manifest in manifests:
            manifest.unlink()
        if manifests:
            raise KeyboardInterrupt
        remove(path, **options)

    def score() -> None:
        workbench.score_to(output, [LOG], "grpo", rows=200, cache=tmp_path / "vectors")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            score()
    written = output.read_bytes()
    score()
    assert output.read_bytes() == written


def test_a_damaged_part_is_named(tmp_path: Path):
    path = tmp_path / "log.parquet"
    pl.read_parquet(LOG).write_parquet(path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ArtefactError, match=r"rows 10 to 14 of .*log\.parquet cannot be read"):
        Part(path=path, start=10, rows=5).read()
