"""The files of a run that still writes."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from log_files import record, write_lines
from samples_of import SAMPLES

from workbench.errors import ParameterError
from workbench.files import staging_folder
from workbench.readers.watching import Waiting, Watch

TAU = SAMPLES / "tau_bench.json"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    (tmp_path / "run").mkdir()
    with staging_folder(tmp_path / "log.parquet") as folder:
        yield Watch(
            tmp_path / "log.parquet",
            [tmp_path / "run"],
            interval=10.0,
            folder=folder,
            clock=Clock(),  # long ago, so that a file has rested only when it was seen twice
        )


def log_in(tmp_path: Path) -> pl.DataFrame:
    return pl.read_parquet(tmp_path / "log.parquet")


def test_a_file_is_taken_once_it_rests_and_only_once(tmp_path: Path, watch: Watch):
    a = write_lines(tmp_path / "run/a.jsonl", [record(trajectory_id="a")])
    first = watch.look()
    assert first.left == {str(a): "it is still being written"}
    assert not (tmp_path / "log.parquet").exists()
    second = watch.look()
    assert second.taken == (str(a),)
    assert second.report is not None
    assert second.report.rows == 1
    before = (tmp_path / "log.parquet").stat().st_ino
    assert watch.look().taken == ()
    assert (tmp_path / "log.parquet").stat().st_ino == before
    write_lines(tmp_path / "run/b.jsonl", [record(trajectory_id="b")])
    watch.look()
    watch.look()
    assert log_in(tmp_path)["trajectory_id"].to_list() == ["a", "b"]


def test_a_half_written_file_is_left_until_it_is_whole(tmp_path: Path, watch: Watch):
    whole = json.dumps(record(trajectory_id="a")) + "\n"
    path = tmp_path / "run/a.jsonl"
    path.write_text(whole + whole[:30])
    watch.look()
    assert "is not JSON" in watch.look().left[str(path)]
    assert not (tmp_path / "log.parquet").exists()
    path.write_text(
        whole
        + whole.replace('"a"', '"b"', 1).replace('"trajectory_id": "a"', '"trajectory_id": "b"')
    )
    watch.look()
    assert watch.look().taken == (str(path),)
    assert log_in(tmp_path).height == 2


def test_a_file_that_grew_is_taken_anew_and_not_twice(tmp_path: Path, watch: Watch):
    path = write_lines(tmp_path / "run/a.jsonl", [record(), record()])
    watch.look()
    watch.look()
    assert log_in(tmp_path)["trajectory_id"].to_list() == ["a#0", "a#1"]
    write_lines(path, [record(), record(), record(task_id="b")])
    watch.look()
    watch.look()
    assert log_in(tmp_path)["trajectory_id"].to_list() == ["a#0", "a#1", "b#0"]


def test_what_was_taken_stays_while_a_file_is_half_written_again(tmp_path: Path, watch: Watch):
    path = write_lines(tmp_path / "run/a.jsonl", [record(trajectory_id="a")])
    watch.look()
    watch.look()
    path.write_text(path.read_text() + '{"messages": [')
    write_lines(tmp_path / "run/b.jsonl", [record(trajectory_id="b")])
    watch.look()
    found = watch.look()
    assert (list(found.left), found.taken) == ([str(path)], (f"{tmp_path}/run/b.jsonl",))
    assert log_in(tmp_path)["trajectory_id"].to_list() == ["a", "b"]


def test_a_verdict_that_comes_later_is_read(tmp_path: Path, watch: Watch):
    trial = SAMPLES / "atif/harbor_job/find-key__0"
    shutil.copytree(trial, tmp_path / "run/a", ignore=shutil.ignore_patterns("result.json"))
    watch.look()
    watch.look()
    assert log_in(tmp_path)["reward"].to_list() == [None, None]
    shutil.copy(trial / "result.json", tmp_path / "run/a/result.json")
    watch.look()
    watch.look()
    assert log_in(tmp_path)["reward"].to_list() == [0.0, 1.0]


def test_a_file_that_has_rested_is_taken_at_the_first_look(tmp_path: Path):
    write_lines(tmp_path / "run/a.jsonl", [record()])
    clock = Clock()
    clock.now = 2.0**33
    with staging_folder(tmp_path / "log.parquet") as folder:
        watch = Watch(
            tmp_path / "log.parquet", [tmp_path / "run"], interval=10.0, folder=folder, clock=clock
        )
        assert watch.look().taken == (str(tmp_path / "run/a.jsonl"),)


def test_what_breaks_a_rule_leaves_the_log_before_it(tmp_path: Path, watch: Watch):
    write_lines(tmp_path / "run/a.jsonl", [record(trajectory_id="a")])
    watch.look()
    watch.look()
    write_lines(tmp_path / "run/b.jsonl", [record(trajectory_id="a", task_id="b")])
    watch.look()
    found = watch.look()
    assert "is in more than one group" in found.refused
    assert log_in(tmp_path).height == 1


def test_files_of_another_format_are_left_and_said(tmp_path: Path, watch: Watch):
    write_lines(tmp_path / "run/a.jsonl", [record()])
    shutil.copy(TAU, tmp_path / "run/b.json")
    (tmp_path / "run/c.txt").write_text("words")
    (tmp_path / "run/d.jsonl").write_text("")
    watch.look()
    left = watch.look().left
    assert left[f"{tmp_path}/run/b.json"] == "it is of format 'tau-bench', not 'chat'"
    assert left[f"{tmp_path}/run/c.txt"] == "no reader recognises it"
    assert left[f"{tmp_path}/run/d.jsonl"] == "no reader recognises it"


def test_what_waits_is_new_or_changed_and_not_what_a_look_has_dealt_with(
    tmp_path: Path, watch: Watch
):
    assert watch.waiting() == Waiting(new=(), changed=())
    a = write_lines(tmp_path / "run/a.jsonl", [record(trajectory_id="a")])
    assert watch.waiting() == Waiting(new=(str(a),), changed=())
    watch.look()
    assert watch.waiting().new == (str(a),)  # seen once: it may still be written
    watch.look()
    assert watch.waiting() == Waiting(new=(), changed=())
    write_lines(a, [record(trajectory_id="a"), record(trajectory_id="b")])
    (tmp_path / "run/notes.bin").write_bytes(b"\x00\x01")
    found = watch.waiting()
    assert found.changed == (str(a),)
    watch.look()
    watch.look()
    # What no reader takes is said once, and waits no more until it changes.
    assert watch.waiting() == Waiting(new=(), changed=())


def test_an_address_cannot_be_watched(tmp_path: Path):
    with pytest.raises(ParameterError, match="cannot be watched"):
        Watch(tmp_path / "log.parquet", ["s3://bucket"], interval=1.0, folder=tmp_path)


def test_the_command_line_watches_until_it_is_interrupted(tmp_path: Path):
    path = write_lines(tmp_path / "run/a.jsonl", [record(trajectory_id="a")])
    (tmp_path / "run/half.jsonl").write_text('{"messages": [')
    output = tmp_path / "log.parquet"
    code = "from workbench.cli import main; main()"
    command = ["import", str(path.parent), "-o", str(output), "--watch", "0.2"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *command], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        while "is new" not in said:
            line = process.stdout.readline()
            assert line, f"it ended after {said!r}"
            said += line
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == 0
    assert f"wrote {output}: 1 file is new, 1 row in all" in said
    assert "half.jsonl" in said
    assert "1 file is not in the log" in said
    assert pl.read_parquet(output).height == 1
    assert {item.name for item in tmp_path.iterdir()} == {"run", "log.parquet"}
