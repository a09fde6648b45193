"""Files of any size as one log on disk, the same as in memory."""

from __future__ import annotations

import decimal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from engine_tasks import Elsewhere
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import read_in_tiny_parts, step, write_lines
from logs import random_log
from polars.testing import assert_frame_equal
from samples_of import SAMPLES

from workbench.engines import Processes
from workbench.errors import LogError, ParameterError, Problem
from workbench.log.nodes import sharing, with_prefix_nodes
from workbench.log.schema import validate
from workbench.readers import give_prefix_nodes, import_log, import_to


@pytest.fixture
def tiny_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    read_in_tiny_parts(monkeypatch)


@pytest.mark.usefixtures("tiny_parts")
@pytest.mark.parametrize(
    "name",
    [
        "openai_chat.jsonl",
        "tau_bench.json",
        "parquet/canonical_steps.parquet",
        "nemo-gym",
        "atif/harbor_job",
    ],
)
def test_a_log_on_disk_is_the_one_in_memory(tmp_path: Path, name: str):
    source, output = SAMPLES / name, tmp_path / "log[1].parquet"
    report = import_to(output, [source])
    imported = import_log([source])
    assert_frame_equal(
        pl.read_parquet(output, glob=False), imported.validated.log, check_column_order=False
    )
    assert report.to_dict() == imported.report.to_dict()
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


@pytest.mark.usefixtures("tiny_parts")
def test_order_and_content_survive_many_parts_and_runs(tmp_path: Path):
    rng = np.random.default_rng(0)
    log = random_log(rng, groups=20, rollouts=5)
    tokens = [[int(n) for n in rng.integers(0, 99, rng.integers(0, 4))] for _ in range(log.height)]
    log = log.with_columns(
        pl.Series("response_ids", tokens, dtype=pl.List(pl.Int32)),
        pl.Series("mine", rng.integers(0, 9, log.height)),
    )
    shuffled = log.sample(fraction=1.0, shuffle=True, seed=1)
    shuffled.write_parquet(tmp_path / "in.parquet", row_group_size=7)
    import_to(tmp_path / "out.parquet", [tmp_path / "in.parquet"])
    expected = import_log([tmp_path / "in.parquet"]).validated.log
    written = pl.read_parquet(tmp_path / "out.parquet")
    assert_frame_equal(written, expected, check_column_order=False)
    assert written.select("trajectory_id", "step_index").rows() == (
        log.select("trajectory_id", "step_index").rows()
    )


_values = st.fixed_dictionaries(
    {
        "trajectory_id": st.sampled_from("ab"),
        "step_index": st.integers(0, 2),
        "observation": st.sampled_from(["x", "y", None]),
        "reward": st.sampled_from([0.0, 1.0, None]),
        "response_ids": st.sampled_from([[1], [1, 2], None]),
        "response_mask": st.sampled_from([[1], [1, 1], None]),
        "note": st.sampled_from(["p", "q"]),
        "node_id": st.sampled_from(["m", "n", None]),
        "reconstructed": st.sampled_from(["groups", None]),
    }
)


def _problems(read: Callable[[], object]) -> tuple[Problem, ...]:
    try:
        read()
    except LogError as error:
        return error.problems
    return ()


@settings(max_examples=60)
@given(st.lists(_values, min_size=1, max_size=6))
def test_what_is_refused_or_set_aside_is_the_same_on_disk(values: list[dict[str, Any]]):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_lines(folder / "in.jsonl", [step(**value) for value in values])
        quarantine, output = folder / "aside.parquet", folder / "out.parquet"
        refused = _problems(lambda: import_log([path], quarantine=True))
        assert refused == _problems(lambda: import_to(output, [path], quarantine=quarantine))
        if refused:
            return
        imported = import_log([path], quarantine=True)
        report = import_to(output, [path], quarantine=quarantine)
        assert report.to_dict() == imported.report.to_dict()
        log, aside = imported.validated.log, imported.validated.quarantined
        assert_frame_equal(pl.read_parquet(output), log, check_column_order=False)
        assert quarantine.exists() == bool(aside.height)
        if aside.height:
            written = pl.read_parquet(quarantine)
            assert_frame_equal(written, aside.select(written.columns), check_dtypes=False)


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_nodes_that_are_given_on_disk_are_those_of_the_whole_log(tmp_path: Path, rows: int):
    rng = np.random.default_rng(0)
    log = validate(random_log(rng, groups=12, rollouts=5)).log
    path = tmp_path / "log.parquet"
    log.write_parquet(path, row_group_size=rows)
    expected = with_prefix_nodes(log)
    assert give_prefix_nodes(path) == sharing(expected)
    assert_frame_equal(pl.read_parquet(path), expected)
    assert sharing(expected).shared > 0
    content = path.read_bytes()
    with pytest.raises(ParameterError, match="has a node_id already"):
        give_prefix_nodes(path)
    assert path.read_bytes() == content
    assert [item.name for item in tmp_path.iterdir()] == ["log.parquet"]


def test_a_refused_import_leaves_no_file(tmp_path: Path):
    path = write_lines(tmp_path / "in.jsonl", [step(step_index=1)])
    output = tmp_path / "out.parquet"
    output.write_bytes(b"before")
    with pytest.raises(LogError, match="does not begin with 0"):
        import_to(output, [path])
    assert output.read_bytes() == b"before"
    assert {item.name for item in tmp_path.iterdir()} == {"in.jsonl", "out.parquet"}


def test_columns_that_are_missing_are_told_with_all_that_are_there(tmp_path: Path):
    path = tmp_path / "in.parquet"
    pl.DataFrame([step(score=1.0)]).drop("action").write_parquet(path)
    with pytest.raises(LogError, match=r"missing columns \['action'\]; found .*'score'"):
        import_to(tmp_path / "out.parquet", [path], format="parquet")


def test_types_that_do_not_go_together_are_named_on_disk_too(tmp_path: Path):
    for name, value in (("1", [1]), ("2", "x")):
        pl.DataFrame([step(trajectory_id=name, note=value)]).write_parquet(tmp_path / name)
    for skip_bad in (False, True):
        with pytest.raises(LogError, match="note: has types in different files") as caught:
            import_to(tmp_path / "out.parquet", [tmp_path / "1", tmp_path / "2"], skip_bad=skip_bad)
        assert "--skip-bad" not in str(caught.value)


def test_large_columns_of_another_type_are_cast_or_named(tmp_path: Path):
    path = tmp_path / "in.parquet"
    frame = pl.DataFrame([step(observation=5), step(trajectory_id="u", observation=6)])
    frame.write_parquet(path)
    import_to(tmp_path / "out.parquet", [path])
    assert pl.read_parquet(tmp_path / "out.parquet")["observation"].to_list() == ["5", "6"]
    bad = pl.Series("response_ids", [[1.5], [2.0]])
    frame.with_columns(bad).write_parquet(path)
    with pytest.raises(LogError, match=rf"response_ids: is not a valid List\(Int32\), at {path}:1"):
        import_to(tmp_path / "out.parquet", [path])


def test_progress_goes_from_part_to_part_to_the_whole(tmp_path: Path, tiny_parts: None):
    told: list[tuple[str, int, int]] = []
    path = write_lines(
        tmp_path / "in.jsonl", [step(trajectory_id=f"t{n}", action="x" * 4096) for n in range(9)]
    )
    import_to(tmp_path / "out.parquet", [path], progress=lambda *now: told.append(now))
    done = [now for _, now, _ in told]
    assert done == sorted(done)
    assert len(set(done)) >= 9
    assert done[-1] == told[-1][2] == path.stat().st_size // 1024


def test_a_huge_line_is_read_and_repeated_rows_are_counted(tmp_path: Path):
    path = write_lines(
        tmp_path / "in.jsonl", [step(observation="x" * 10**7), step(observation="x" * 10**7)]
    )
    import_to(tmp_path / "out.parquet", [path])
    log = pl.read_parquet(tmp_path / "out.parquet")
    assert (log.height, log["copies"][0], len(log["observation"][0])) == (1, 2, 10**7)


def test_what_is_wrong_is_found_in_every_file_that_others_read(tmp_path: Path):
    good = write_lines(tmp_path / "a.jsonl", [step(trajectory_id="a"), step(trajectory_id="b")])
    bad = write_lines(tmp_path / "b.jsonl", [step(trajectory_id="c", response_ids=[1.5])])
    worse = write_lines(tmp_path / "c.jsonl", [step(trajectory_id="d", response_ids="x")])
    output, paths = tmp_path / "log.parquet", [good, bad, worse]
    with pytest.raises(LogError) as here:
        import_to(output, paths)
    with pytest.raises(LogError) as there:
        import_to(output, paths, engine=Elsewhere())
    assert str(there.value) == str(here.value)
    assert str(bad) in str(there.value)
    assert str(worse) in str(there.value)
    assert not output.exists()


def test_two_processes_read_files_and_say_how_much(tmp_path: Path):
    told: list[int] = []
    paths = [
        write_lines(tmp_path / f"{name}.jsonl", [step(trajectory_id=name, action="x" * 4096)])
        for name in "abc"
    ]
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    import_to(here, paths)
    import_to(there, paths, engine=Processes(2), progress=lambda stage, now, of: told.append(now))
    assert there.read_bytes() == here.read_bytes()
    size = sum(path.stat().st_size for path in paths)
    assert told == [size // 3 // 1024, size * 2 // 3 // 1024, size // 1024]


def test_bounds_hold_in_other_processes(tmp_path: Path):
    nested: Any = 1
    for _ in range(9):  # the record itself is on level 1
        nested = [nested]
    paths = [
        write_lines(tmp_path / f"{name}.jsonl", [step(trajectory_id=name, own=nested)])
        for name in "ab"
    ]
    output = tmp_path / "log.parquet"
    import_to(output, paths, engine=Processes(2), max_nesting=10)
    with pytest.raises(LogError, match="nests deeper than 9 levels"):
        import_to(output, paths, engine=Processes(2), max_nesting=9)


def test_a_file_is_read_again_where_its_worker_was_lost(tmp_path: Path):
    paths = [write_lines(tmp_path / f"{name}.jsonl", [step(trajectory_id=name)]) for name in "abc"]
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"
    import_to(here, paths)
    import_to(there, paths, engine=Elsewhere(times=2))
    assert there.read_bytes() == here.read_bytes()


def test_columns_of_the_user_keep_their_types_on_disk(tmp_path: Path):
    frame = pl.DataFrame(
        {
            "group_id": "g",
            "trajectory_id": ["a", "b"],
            "step_index": 0,
            "observation": "o",
            "action": "x",
            "reward": [0.0, 1.0],
            "kind": pl.Series(["one", None], dtype=pl.Categorical),
            "level": pl.Series(["low", None], dtype=pl.Enum(["low", "high"])),
            "took": pl.Series([1, None], dtype=pl.Duration("ms")),
            "price": pl.Series([decimal.Decimal("1.50"), None]),
            "nothing": pl.Series([None, None], dtype=pl.Null),
            "facts": [{"a": [1, 2]}, None],
        }
    )
    path, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    frame.write_parquet(path)
    import_to(output, [path])
    log = pl.read_parquet(output)
    own = ["kind", "level", "took", "price", "nothing", "facts"]
    assert_frame_equal(log.select(own), import_log([path]).validated.log.select(own))
    assert log["price"].to_list() == [decimal.Decimal("1.50"), None]
