"""The step log as CSV."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from log_files import log_of, read_in_tiny_parts
from polars.testing import assert_frame_equal
from samples_of import SAMPLES, assert_canonical_tokens, assert_nine_steps

from workbench.errors import LogError, ParameterError
from workbench.readers import import_log, import_to, read

PARQUET = SAMPLES / "parquet/canonical_steps.parquet"
HEADER = "group_id,trajectory_id,step_index,observation,action,reward"


@pytest.fixture
def tiny_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    read_in_tiny_parts(monkeypatch)


def write_csv(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "csv"]), "csv", group="find-key", trajectory="t{n}")


def test_tokens_of_the_sample_are_the_canonical_ones():
    assert_canonical_tokens(log_of(SAMPLES / "csv"))


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.usefixtures("tiny_parts")
def test_a_step_log_as_csv_is_the_one_as_parquet(tmp_path: Path, separator: str):
    frame = pl.read_parquet(PARQUET)
    texts = frame.with_columns(
        pl.col(name).map_elements(lambda value: json.dumps(list(value)), return_dtype=pl.String)
        for name, dtype in frame.schema.items()
        if isinstance(dtype, pl.List)
    )
    texts.write_csv(tmp_path / "in.csv", separator=separator)
    imported = import_log([tmp_path / "in.csv"])
    assert imported.report.format == "csv"
    expected = import_log([PARQUET]).validated.log
    places = ["source_file", "source_line"]
    assert_frame_equal(
        imported.validated.log.drop(places), expected.drop(places),
        check_column_order=False, check_dtypes=False, abs_tol=1e-6,
    )  # fmt: skip
    import_to(tmp_path / "out.parquet", [tmp_path / "in.csv"])
    assert_frame_equal(
        pl.read_parquet(tmp_path / "out.parquet"), imported.validated.log, check_column_order=False
    )


def test_fields_of_a_csv_become_the_values_that_they_mean(tmp_path: Path):
    # An observation over two lines, so the second step begins on line 4; an index without a name.
    path = write_csv(
        tmp_path / "in.csv",
        f",{HEADER},success,response_ids,seed,size,name,train_step\r\n"
        '0,g,t,0,"a ""door"",\r\nshut",,0,True,"[1, 2]",12,-0.5,007,7.0\r\n'
        "1,g,t,1,room,look,0.5,,[],,1e3,x,\r\n",
    )
    log = import_log([path]).validated.log
    assert log["observation"].to_list() == ['a "door",\r\nshut', "room"]
    assert log["action"].to_list() == ["", "look"]
    assert log["reward"].to_list() == [0.0, 0.5]
    assert log["success"].to_list() == [True, None]
    assert log["response_ids"].to_list() == [[1, 2], []]
    assert log.select("seed", "size", "name").rows() == [(12, -0.5, "007"), (None, 1000.0, "x")]
    assert log["train_step"].to_list() == [7, None]
    assert log["source_line"].to_list() == [2, 4]
    assert "" not in log.columns
    path.write_text(f"{HEADER}\ng,t,0.5,o,a,1\n")
    with pytest.raises(LogError, match=r"step_index: is not a valid Int32, at .*:2 \('0.5'\)"):
        import_log([path])


def test_names_of_a_csv_are_mapped(tmp_path: Path):
    columns = {
        "group_id": "task", "trajectory_id": "run", "step_index": "n",
        "observation": "saw", "action": "did", "reward": "won",
    }  # fmt: skip
    path = write_csv(tmp_path / "in.csv", "task;run;n;saw;did;won\nq;r;0;o;a;1\n")
    with pytest.raises(LogError, match=r"--propose-map map\.json"):
        read([path])
    log = import_log([path], format="csv", mapping={"columns": columns}).validated.log
    assert log.select(*columns).row(0) == ("q", "r", 0, "o", "a", 1.0)
    with pytest.raises(ParameterError, match="for which no record has a value"):
        read([path], format="csv", mapping={"columns": {**columns, "model": "who"}})


def test_what_is_broken_in_a_csv_is_named_by_its_line_and_the_rest_is_read(tmp_path: Path):
    path = tmp_path / "in.csv"
    rows = [b"g,t,0,o,a,1", b"g,u,0,o,a", b"g,v,0,caf\xe9,a,1", b"g,w,0,o,a,nought", b'g,x,0,"o']
    path.write_bytes(b"\n".join([HEADER.encode(), *rows]))
    with pytest.raises(LogError) as caught:
        read([path])
    for problem in (
        f"row: has 5 fields, the header has 6, at {path}:3",
        f"line: is not UTF-8, at {path}:4 (byte 9)",
        f"file: cannot be read from here on (unexpected end of data), at {path}:6",
    ):
        assert problem in str(caught.value)
    raw = read([path], skip_bad=True)
    assert raw.frame["trajectory_id"].to_list() == ["t", "w"]
    with pytest.raises(LogError, match=rf"reward: is not a valid Float64, at {path}:5 \('nought'"):
        import_log([path], skip_bad=True)
    # A header that cannot be read costs no row beside it.
    path.write_bytes(HEADER.encode() + b",caf\xe9\ng,t,0,o,a,1,x\n")
    assert read([path], skip_bad=True).frame["trajectory_id"].to_list() == ["t"]
    header = write_csv(tmp_path / "header.csv", HEADER + "\n")
    with pytest.raises(LogError, match="there are none"):
        import_log([header])


def test_other_names_in_a_csv_are_those_of_the_columns_that_they_mean(tmp_path: Path):
    path = write_csv(
        tmp_path / "in.csv",
        "uid,traj_uid,env_step,anchor_obs,action,rewards,masked\n1e3,007,0,,a,1,True\n",
    )
    log = import_log([path]).validated.log
    names = ["group_id", "trajectory_id", "observation", "gradient_mask"]
    assert log.select(names).row(0) == ("1e3", "007", "", False)
    path = write_csv(tmp_path / "twice.csv", f"{HEADER},reward\ng,t,0,o,a,1,2\n")
    with pytest.raises(
        LogError, match=r"header: has \['reward'\] more than once, at .*twice.csv:1"
    ):
        read([path])


def test_a_field_of_a_csv_may_be_as_long_as_memory(tmp_path: Path):
    path = write_csv(tmp_path / "in.csv", f"{HEADER}\ng,t,0,{'x' * 10**6},a,1\n")
    assert len(read([path]).frame["observation"][0]) == 10**6


def test_a_header_that_cannot_be_read_is_named(tmp_path: Path):
    path = write_csv(tmp_path / "in.csv", f"{HEADER},a\rb\ng,t,0,o,a,1,x\n")
    with pytest.raises(LogError, match=rf"header: cannot be read \(.*\), at {path}:1"):
        read([path], format="csv")
