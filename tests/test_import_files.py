"""Files of any size, place and packing, and of runs that still write, as one log on disk."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import random_log
from polars.testing import assert_frame_equal

from workbench.errors import LogError, MissingDependencyError, ParameterError, Problem
from workbench.log.nodes import sharing, with_prefix_nodes
from workbench.log.schema import validate
from workbench.readers import give_prefix_nodes, import_log, import_to, read, source_files
from workbench.readers.streaming import staging_folder
from workbench.readers.watching import Watch

SAMPLES = Path(__file__).parent / "samples"
CHAT = SAMPLES / "openai_chat.jsonl"
TAU = SAMPLES / "tau_bench.json"
PARQUET = SAMPLES / "canonical_steps.parquet"


def record(**fields: Any) -> dict[str, Any]:
    talk = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}]
    return {"messages": talk, "task_id": "a", "reward": 1.0} | fields


def step(**fields: Any) -> dict[str, Any]:
    return {
        "group_id": "g",
        "trajectory_id": "t",
        "step_index": 0,
        "observation": "o",
        "action": "a",
        "reward": 1.0,
    } | fields


def write_lines(path: Path, records: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(item) + "\n" for item in records), encoding="utf-8")
    return path


# Import to disk


@pytest.fixture
def tiny_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every trajectory is a part of its own, and rows are sorted a few at a time."""
    monkeypatch.setattr("workbench.readers.rows._PART", 1)
    monkeypatch.setattr("workbench.readers.formats.steps._PART", 1)
    monkeypatch.setattr("workbench.readers.formats.parquet._FIRST", 1)
    monkeypatch.setattr("workbench.readers.formats.parquet._PART", 1)
    monkeypatch.setattr("workbench.readers.out_of_core._RUN", 2**9)


@pytest.mark.usefixtures("tiny_parts")
@pytest.mark.parametrize(
    "name",
    ["openai_chat.jsonl", "tau_bench.json", "canonical_steps.parquet", "nemo_gym", "harbor_job"],
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
    pl.DataFrame([step(score=1.0)]).drop("reward").write_parquet(path)
    with pytest.raises(LogError, match=r"missing columns \['reward'\]; found .*'score'"):
        import_to(tmp_path / "out.parquet", [path])


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


# The step log as JSON lines


def test_a_step_log_as_json_lines_is_the_one_as_parquet(tmp_path: Path):
    frame = pl.read_parquet(PARQUET)
    path = write_lines(tmp_path / "in.jsonl", frame.to_dicts())
    imported = import_log([path])
    assert imported.report.format == "steps"
    expected = import_log([PARQUET]).validated.log
    places = ["source_file", "source_line"]
    assert_frame_equal(
        imported.validated.log.drop(places), expected.drop(places),
        check_column_order=False, check_dtypes=False, abs_tol=1e-6,
    )  # fmt: skip


def test_json_lines_are_read_through_a_mapping_that_reaches_into_objects(tmp_path: Path):
    told = {
        "who": {"group": "g", "id": "t"},
        "n": 0,
        "saw": "o",
        "did": "a",
        "info": {"score": 0.5},
    }
    columns = {
        "group_id": "who.group", "trajectory_id": "who.id", "step_index": "n",
        "observation": "saw", "action": "did", "reward": "info.score",
    }  # fmt: skip
    path = write_lines(tmp_path / "in.jsonl", [told])
    with pytest.raises(LogError, match="no reader recognises it"):
        read([path])
    imported = import_log([path], format="steps", mapping={"columns": columns})
    assert imported.validated.log.select("reward", "action").row(0) == (0.5, "a")
    assert imported.report.renamed == columns
    assert json.loads(imported.validated.log["who"][0]) == told["who"]
    with pytest.raises(ParameterError, match="for which no record has a value"):
        read([path], format="steps", mapping={"columns": {**columns, "task": "words"}})


def test_a_malformed_list_of_a_line_is_named(tmp_path: Path):
    path = write_lines(tmp_path / "in.jsonl", [step(), step(step_index=1, response_ids=["x"])])
    with pytest.raises(LogError, match=rf"response_ids: is not a list of token ids, at {path}:2"):
        read([path])
    assert import_log([path], skip_bad=True).report.rows == 1


# The step log as CSV


def write_csv(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


HEADER = "group_id,trajectory_id,step_index,observation,action,reward"


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
    with pytest.raises(LogError, match="--format steps or csv, and --map"):
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


# Files of other kinds


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
        (json.dumps([{"key": 1}]).encode(), "it is one JSON array; write a record a line"),
        (json.dumps({"key": 1}, indent=1).encode(), "it is JSON over several lines"),
        (b'{\r\n "key": 1\r\n}', "it is JSON over several lines"),
        ('{"key": 1}'.encode("utf-16-le"), "iconv -f utf-16le -t utf-8"),
        (b"name,score\na,1\n", "need --format steps or csv, and --map"),
    ],
)
def test_a_file_of_another_kind_is_called_what_it_is(tmp_path: Path, content: bytes, says: str):
    path = tmp_path / "log"
    path.write_bytes(content)
    with pytest.raises(LogError) as caught:
        read([path])
    assert f"format: no reader recognises it, at {path} (begins with" in str(caught.value)
    assert says in str(caught.value)


# Packing and encoding


@pytest.mark.parametrize("codec", ["gzip", "zstd"])
@pytest.mark.parametrize("source", [CHAT, TAU, PARQUET])
def test_compressed_files_are_read_as_what_they_hold(tmp_path: Path, codec: str, source: Path):
    content = source.read_bytes()
    packed = (
        gzip.compress(content) if codec == "gzip" else pa.compress(content, codec, asbytes=True)
    )
    path = tmp_path / f"{source.name}.packed"
    path.write_bytes(packed)
    log, expected = import_log([path]).validated.log, import_log([source]).validated.log
    assert set(log["source_file"]) == {str(path)}
    assert_frame_equal(log.drop("source_file"), expected.drop("source_file"))


def test_a_place_in_a_compressed_file_is_the_file_and_its_line(tmp_path: Path):
    path = tmp_path / "in.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(record()) + "\nnonsense\n").encode()))
    with pytest.raises(LogError) as caught:
        read([path])
    assert f"line: is not JSON, at {path}:2 (" in str(caught.value)
    assert import_log([path], skip_bad=True).report.rows == 1


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-8-sig"])
def test_files_whose_mark_names_an_encoding_are_read_in_it(tmp_path: Path, encoding: str):
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(record(task_id="é"), ensure_ascii=False) + "\n", encoding=encoding)
    raw = read([path])
    assert raw.frame["group_id"].to_list() == ["é"]
    assert any(f"read as {encoding.upper()}" in notice for notice in raw.notices) == (
        encoding != "utf-8-sig"
    )


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


def test_a_line_in_latin_1_is_named_and_the_others_are_read(tmp_path: Path):
    path = tmp_path / "in.jsonl"
    lines = [record(task_id="é"), record(task_id="e", reward=0.0)]
    path.write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="latin-1"
    )
    with pytest.raises(LogError, match=rf"is not UTF-8, at {path}:1"):
        read([path])
    assert import_log([path], skip_bad=True).validated.log["source_line"].to_list() == [2]


def test_a_huge_line_is_read_and_repeated_rows_are_counted(tmp_path: Path):
    path = write_lines(
        tmp_path / "in.jsonl", [step(observation="x" * 10**7), step(observation="x" * 10**7)]
    )
    import_to(tmp_path / "out.parquet", [path])
    log = pl.read_parquet(tmp_path / "out.parquet")
    assert (log.height, log["copies"][0], len(log["observation"][0])) == (1, 2, 10**7)


# Folders with other files


def test_a_folder_with_other_files_is_read_by_the_format_that_is_named(tmp_path: Path):
    shutil.copy(CHAT, tmp_path / "chat.jsonl")
    shutil.copy(TAU, tmp_path / "tau.json")
    (tmp_path / "empty.log").write_bytes(b"")
    with pytest.raises(LogError, match="formats are mixed"):
        read([tmp_path])
    raw = read([tmp_path], format="chat")
    assert raw.files == (str(tmp_path / "chat.jsonl"),)
    notices = " ".join(raw.notices)
    assert f"files that are not chat were passed over, at {tmp_path}/tau.json" in notices
    assert "empty files were passed over" in notices


# Addresses


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


def test_files_beside_one_at_an_address_are_found(store: Any):
    for path in sorted((SAMPLES / "harbor_job").rglob("*.json")):
        store.pipe(f"/job/{path.relative_to(SAMPLES / 'harbor_job')}", path.read_bytes())
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
    with pytest.raises(LogError, match="is not on this machine"):
        source_files(["s3://bucket/log.jsonl"])


# Watching


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
    trial = SAMPLES / "harbor_job/find-key__0"
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
        while "are new" not in said:
            line = process.stdout.readline()
            assert line, f"it ended after {said!r}"
            said += line
        process.send_signal(signal.SIGINT)
        said += process.stdout.read()
    assert process.returncode == 0
    assert f"wrote {output}: 1 files are new, 1 rows in all" in said
    assert "half.jsonl" in said
    assert "1 files are not in the log" in said
    assert pl.read_parquet(output).height == 1
    assert {item.name for item in tmp_path.iterdir()} == {"run", "log.parquet"}
