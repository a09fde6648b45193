"""From files to one frame: what is joined, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from log_files import assistant, record, step, user, write_lines, write_steps
from samples_of import SAMPLES

from workbench.errors import LogError
from workbench.readers import import_log, import_to, read

PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"hello world", "workbench formats lists what is read"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"\x1f\x8b\x08\x00rest", "is damaged or cut off, as gzip"),
        (b"\x28\xb5\x2f\xfdrest", "is damaged or cut off, as zstd"),
        (b"\x80\x04\x95pickled", "pickle, which can run any code and is never opened"),
        ('{"messages": []}'.encode("utf-16"), "hold no assistant message"),
        ('{"messages": []}'.encode("utf-16")[:-1], "is damaged or cut off, as utf-16"),
        (b'{"key": 1}', "--propose-map"),
        (b"PAR1", "cannot be read as Parquet"),
        (b"PAR1" + b"\0" * 200 + b"PAR1", "cannot be read as Parquet"),
        (PARQUET.read_bytes()[:-100], "cannot be read as Parquet"),
        (b'[{"task_id": 0, "traj": []}] more', "text behind its JSON array"),
        (
            b'[{"task_id": 0, "traj": []} {"task_id": 0, "traj": []}]',
            "cut off or damaged here, at behind",
        ),
        (b'[{"task_id": null, "traj": [], "reward": 1}]', "task_id: is missing or null"),
        (b'[{"task_id": 0, "traj": "caf\xe9"}]', "is not UTF-8"),
        (b'{"messages": []}', "hold no assistant message"),
        (b'{"messages": null}', "the record has no key 'messages'"),
        (b'{"messages": {"role": "user"}}', "is a dict, expected a list"),
        (b'{"messages": ["hi"]}', "a message without a role"),
        (b'{"messages": ' + b"[" * 100_000, "nests deeper than Python reads"),
        (b'{"messages": 1}\n[1]\n', "is a list, expected a JSON object"),
    ],
)
def test_a_hostile_file_is_a_clear_error_that_names_it(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "log"
    path.write_bytes(content)
    for skip_bad in (False, True):
        with pytest.raises(LogError) as caught:
            import_log([path], skip_bad=skip_bad)
        assert says in str(caught.value)
        assert str(path) in str(caught.value)


def test_rows_of_several_files_are_numbered_anew_where_their_numbers_clash(tmp_path: Path):
    write_steps(tmp_path / "1", {"source_row": [0, 1, 2]})
    write_steps(tmp_path / "2", {"source_row": [0, 1, 2], "trajectory_id": ["c", "c", "d"]})
    raw = read([tmp_path])
    assert raw.frame["source_row"].to_list() == list(range(6))
    assert any("renumbered" in notice for notice in raw.notices)


def test_types_that_do_not_go_together_are_named(tmp_path: Path):
    write_steps(tmp_path / "1", {"note": [[1], [2], [3]]})
    write_steps(tmp_path / "2", {"note": ["x", "y", "z"]})
    with pytest.raises(LogError, match="note: has types in different files"):
        read([tmp_path])


def test_what_is_sound_beside_a_broken_line_is_told_with_the_way_to_it(tmp_path: Path):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(step()) + "\nnonsense\n")
    with pytest.raises(LogError, match="\nHint: workbench import --skip-bad leaves these out"):
        read([path])
    with pytest.raises(LogError, match="\nHint: workbench import --skip-bad leaves these out"):
        import_to(tmp_path / "out.parquet", [path])
    path.write_text("nonsense\n")
    with pytest.raises(LogError) as caught:
        read([path], format="steps")
    assert "--skip-bad" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("[]", "tau-bench"),
        ('{"simulations": []}', "tau2"),
        ('{"version": 2, "eval": {}, "samples": []}', "inspect"),
        ('{"global_step": 1, "trajectories": []}', "verl-agent-trajectories"),
        ("group_id,trajectory_id,step_index,observation,action,reward", "csv"),
    ],
)
def test_a_file_without_a_record_is_refused_by_name(tmp_path: Path, content: str, form: str):
    path = tmp_path / "log"
    path.write_text(content)
    for reading in (read, import_log, lambda given, **how: import_to(path, given, **how)):
        with pytest.raises(LogError, match="rows: there are none") as caught:
            reading([path], format=form)
        assert str(path) in str(caught.value)


def test_steps_that_count_from_1_in_every_trajectory_are_read_from_0(tmp_path: Path):
    rows = [step(trajectory_id=one, step_index=at) for one in "ab" for at in (1, 2)]
    path = write_lines(tmp_path / "log.jsonl", rows)
    imported = import_log([path])
    assert imported.validated.log["step_index"].to_list() == [0, 1, 0, 1]
    said = "step_index counts from 1 in every trajectory and is read from 0"
    assert said in imported.report.notices
    assert import_to(tmp_path / "out.parquet", [path]) == imported.report
    assert pl.read_parquet(tmp_path / "out.parquet")["step_index"].to_list() == [0, 1, 0, 1]
    # Where another one begins with 0, that of 1 has lost a step.
    write_lines(path, [*rows, step(trajectory_id="c")])
    with pytest.raises(LogError, match="does not begin with 0"):
        import_log([path])


def test_duplicates_are_shown_side_by_side_and_each_line_once(tmp_path: Path):
    talk = [user("go"), assistant("a"), user("on"), assistant("b")]
    other = [user("go"), assistant("c"), user("on"), assistant("d")]
    records = [record(rollout=n, messages=m) for n, m in ((0, talk), (1, talk), (0, other))]
    path = write_lines(tmp_path / "log.jsonl", records)
    with pytest.raises(LogError) as caught:
        import_log([path])
    assert f"different content, at {path}:1, {path}:3. Hint" in str(caught.value)
