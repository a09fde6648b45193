"""Files behind a web server: how much of them is fetched, by which process, and what goes wrong."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from log_files import step
from served import Served, served

from workbench.errors import LogError
from workbench.readers import import_log, import_to
from workbench.readers.originals import AddressError

pytest.importorskip("aiohttp", reason="fsspec reads http with aiohttp")

TALK = json.dumps([{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}])


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Served]:
    (tmp_path / "web").mkdir()
    with served(tmp_path / "web") as server:
        yield server


def steps(path: Path, name: str = "") -> Path:
    """A step log of eight row groups of a megabyte, which says where its rows are from."""
    draw = random.Random(name)
    rows = [
        step(
            group_id=f"{name}g{at // 8}",
            trajectory_id=f"{name}t{at // 2}",
            step_index=at % 2,
            observation=draw.randbytes(10_000).hex(),
            source_file="rollouts.jsonl",
            source_line=at + 1,
        )
        for at in range(800)
    ]
    pl.DataFrame(rows).write_parquet(path, row_group_size=100)
    return path


def workbench(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, whose temporary files lie below the folder."""
    (folder / "tmp").mkdir(exist_ok=True)
    own = {"TMPDIR": str(folder / "tmp"), "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.run(
        [sys.executable, "-c", "from workbench.cli import main; main()", *arguments],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )


def test_columns_that_nothing_reads_are_not_fetched(web: Served):
    draw = random.Random(0)
    pl.DataFrame(
        {
            "transcript_id": [f"t{at}" for at in range(3000)],
            "task_id": [f"k{at // 4}" for at in range(3000)],
            "score": [float(at % 2) for at in range(3000)],
            "messages": [TALK] * 3000,
            "screenshot": [draw.randbytes(10_000) for _ in range(3000)],
        }
    ).write_parquet(web.folder / "t.parquet", row_group_size=500, compression="uncompressed")
    size = (web.folder / "t.parquet").stat().st_size
    assert size > 30_000_000
    log = import_log([f"{web.address}/t.parquet"]).validated.log
    assert log["source_file"].unique().to_list() == [f"{web.address}/t.parquet"]
    assert log.drop("source_file").equals(
        import_log([web.folder / "t.parquet"]).validated.log.drop("source_file")
    )
    # The first rows are looked at with all their columns, of which 4 MB at a time are read. Of all
    # others only small columns are, and the footer a few times, each in requests of 64 KB.
    assert web.sent["t.parquet"] < 2**22 + 16 * 2**16


def test_no_more_than_a_buffer_is_asked_for_at_once(web: Served, tmp_path: Path):
    steps(web.folder / "a.parquet")
    import_to(tmp_path / "there", [f"{web.address}/a.parquet"])
    import_to(tmp_path / "here", [web.folder / "a.parquet"])
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()
    parts = [asked for method, _, asked in web.asked if method == "GET"]
    assert len(parts) > 20
    for part in parts:
        assert part is not None
        first, last = map(int, part.removeprefix("bytes=").split("-"))
        assert last - first < 2**22


def test_workers_read_at_the_address_and_leave_nothing_on_disk(web: Served, tmp_path: Path):
    for name in ("a", "b", "c"):
        steps(web.folder / f"{name}.parquet", name)
    for name, jobs in (("one", "1"), ("two", "2")):
        done = workbench(tmp_path, "import", web.address, "-o", name, "--jobs", jobs)
        assert done.returncode == 0, done.stderr
    done = workbench(tmp_path, "import", str(web.folder), "-o", "here")
    assert done.returncode == 0, done.stderr
    logs = [(tmp_path / name).read_bytes() for name in ("one", "two", "here")]
    assert logs[0] == logs[1] == logs[2]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_connection_that_breaks_stops_whatever_may_be_skipped(web: Served, tmp_path: Path):
    import pyarrow.parquet as pq

    for name in ("a", "b"):
        steps(web.folder / f"{name}.parquet", name)
    metadata = pq.read_metadata(web.folder / "a.parquet")
    observations = metadata.schema.names.index("observation")
    web.breaks_at = metadata.row_group(5).column(observations).data_page_offset
    addresses = [f"{web.address}/{name}.parquet" for name in ("a", "b")]
    for more in ([], ["--jobs", "2"]):
        done = workbench(tmp_path, "import", *addresses, "-o", "log", "--skip-bad", *more)
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr
        assert ".parquet could not be read any further while row group 6 of 8" in done.stderr
        assert f"error: {web.address}/" in done.stderr
    assert not (tmp_path / "log").exists()


def test_a_file_that_is_written_anew_while_it_is_read_is_refused(web: Served, tmp_path: Path):
    steps(web.folder / "a.parquet")
    other = steps(tmp_path / "other.parquet", "other").read_bytes()
    middle = (web.folder / "a.parquet").stat().st_size // 2

    def change(first: int) -> None:
        if middle < first < middle + 2_000_000:
            (web.folder / "a.parquet").write_bytes(other)

    web.before = change
    with pytest.raises(AddressError, match=r"/a\.parquet changed while it was read"):
        import_to(tmp_path / "log", [f"{web.address}/a.parquet"], skip_bad=True)
    assert not (tmp_path / "log").exists()


def test_a_file_of_a_server_that_gives_no_parts_is_copied_and_said_so(web: Served, tmp_path: Path):
    steps(web.folder / "a.parquet")
    web.ranges = False
    report = import_to(tmp_path / "there", [f"{web.address}/a.parquet"])
    assert "Parquet files are copied whole where the server gives no parts" in str(report)
    import_to(tmp_path / "here", [web.folder / "a.parquet"])
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


def test_secrets_of_an_address_are_in_no_message_and_no_log(web: Served, tmp_path: Path):
    pl.DataFrame([step()]).write_parquet(web.folder / "a.parquet")
    (web.folder / "b.jsonl").write_text("nonsense\n", encoding="utf-8")
    signed = "?X-Amz-Signature=" + "f00d" * 100
    host = web.address.replace("://", "://me:hunter2@")
    log = import_log([f"{host}/a.parquet{signed}"]).validated.log
    named = log["source_file"][0]
    assert named.startswith(
        f"{web.address.replace('://', '://***@')}/a.parquet?X-Amz-Signature=***"
    )
    for name, says in (("b.jsonl", "is not JSON"), ("c.jsonl", "does not exist")):
        with pytest.raises(LogError, match=says) as told:
            import_log([f"{host}/{name}{signed}"], format="steps")
        assert "***@" in str(told.value)
        assert "hunter2" not in str(told.value)
        assert "f00d" not in str(told.value)
    with pytest.raises(LogError, match="cannot be fetched") as told:
        import_log([f"http://me:hunter2@127.0.0.1:9/*.jsonl{signed}"])
    assert "hunter2" not in str(told.value)
    assert "f00d" not in str(told.value)


def test_a_log_at_an_address_is_scored_and_run_until_it_changes(web: Served, tmp_path: Path):
    path = steps(web.folder / "a.parquet")
    address = f"{web.address}/a.parquet"
    for name, source, more in (
        ("here", str(path), []),
        ("there", address, []),
        ("parts", address, ["--jobs", "2"]),
    ):
        done = workbench(tmp_path, "score", source, "-m", "grpo", "-o", name, *more)
        assert done.returncode == 0, done.stderr
    for credit in ("there", "parts"):
        done = workbench(tmp_path, "audit", address, "--credit", credit, "--no-controls")
        assert done.returncode == 0, done.stderr
        assert "another file" not in done.stderr
    assert "another file" in workbench(tmp_path, "audit", address, "--credit", "here").stderr
    credits = [pl.read_parquet(tmp_path / name) for name in ("here", "there", "parts")]
    assert credits[0].equals(credits[1])
    assert credits[0].equals(credits[2])
    command = ("run", address, "-o", "work", "-m", "grpo", "--embedder", "tfidf")
    logs = []
    for _ in range(2):
        assert (done := workbench(tmp_path, *command)).returncode == 0, done.stderr
        logs.append(sorted((tmp_path / "work/log").iterdir()))
    assert logs[0] == logs[1]
    steps(path, "other")
    assert workbench(tmp_path, *command).returncode == 0
    assert len(list((tmp_path / "work/log").iterdir())) == 2
    web.tags = False
    assert "neither an ETag nor when it changed" in workbench(tmp_path, *command).stderr
