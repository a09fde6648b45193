"""Commands on a full disk, at a place that cannot be written, and under signals."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import polars as pl
import pyarrow.parquet as pq
import pytest
from commands import Run, refused, small
from folders import names

from workbench.errors import StorageError
from workbench.files import atomic_file, atomic_folder, locked, staging_folder

WORKBENCH = [sys.executable, "-c", "from workbench.cli import main; main()"]
LOG = str(Path(__file__).parents[2] / "data" / "household.parquet")
COMMANDS = {
    "import": ["import", LOG, "-o", "place/out"],
    "score": ["score", LOG, "-m", "grpo", "-o", "place/out"],
    "score in parts": ["score", LOG, "-m", "grpo", "--jobs", "2", "-o", "place/out"],
    "run": ["run", LOG, "-o", "place/out", "--embedder", "tfidf"],
    "audit": ["audit", LOG, "--credit", "credit", "-o", "place/out", "--no-controls"],
    "export": ["export", LOG, "--credit", "credit", "-o", "place/out"],
    "simulate": ["simulate", "-o", "place/out"],
}


def in_folder(folder: Path, arguments: list[str], limit: int | None = None) -> tuple[int, str]:
    """A command in a process whose files may have so many bytes: exit code and errors."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [*WORKBENCH, *arguments],
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder / "cache")},
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


def errors_in(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_takes_no_more_is_one_message(name: str, tmp_path: Path) -> None:
    if "credit" in COMMANDS[name]:
        made = in_folder(tmp_path, ["score", LOG, "-m", "grpo", "-o", "credit"])
        assert made[0] == 0, made
    code, err = in_folder(tmp_path, COMMANDS[name], limit=2000)
    assert code == 2, err
    (message,) = errors_in(err)
    assert "place" in message
    assert "cannot be written: File too large" in message
    assert "Hint: free some space" in message
    assert "Traceback" not in err
    left = [path for path in tmp_path.rglob("place/**/*") if path.is_file()]
    # A part that was finished is kept for the next run, under a hidden folder.
    place = tmp_path / "place"
    assert not [path for path in left if not path.relative_to(place).parts[0].startswith(".")]
    assert not [path for path in left if path.suffix == ".part"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_file_in_place_of_a_folder_is_one_message(name: str, run: Run, tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file")
    if "credit" in COMMANDS[name]:
        assert run("score", LOG, "-m", "grpo", "-o", "credit")[0] == 0
    refused(run(*COMMANDS[name]), "place", "Hint: ")
    assert (tmp_path / "place").read_text() == "a file"


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("name", ["import", "score", "run", "simulate"])
def test_a_place_that_is_read_only_is_one_message(
    name: str, code: int, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Permissions do not bind root, under which tests may run.
    real = os.mkdir

    def closed(path: str, *rest: object, **keywords: object) -> None:
        if "place" in os.fspath(path):
            raise OSError(code, os.strerror(code), os.fspath(path))
        real(path, *rest, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "mkdir", closed)
    refused(run(*COMMANDS[name]), "place", os.strerror(code), "Hint: name a place")


PARTS: dict[str, Callable[[Path], object]] = {
    "file": atomic_file, "folder": atomic_folder, "staging": staging_folder,
}  # fmt: skip


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    pl.exceptions.ComputeError(
        "parquet: underlying IO error: No space left on device (os error 28)"
    ),
    RuntimeError("Error in faiss::write_index: write error in a: 9 != 16 (File too large)"),
    OSError("200000 requested and 12484 written"),  # numpy
]
"""A full disk in the words of each library; none but Python's own has the number of the error."""


@pytest.mark.parametrize("kind", PARTS)
@pytest.mark.parametrize("error", FULL, ids=["python", "polars", "faiss", "numpy"])
def test_each_library_names_the_place_of_a_full_disk(
    error: Exception, kind: str, tmp_path: Path
) -> None:
    with (
        pytest.raises(StorageError, match=r"place cannot be written: .*Hint: free"),
        PARTS[kind](tmp_path / "place"),  # type: ignore[attr-defined]
    ):
        raise error
    assert names(tmp_path) == []


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    def missing() -> None:
        with atomic_file(tmp_path / "place"):
            (tmp_path / "nothing").read_text()

    with pytest.raises(FileNotFoundError):
        missing()


def test_a_lock_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"), locked(tmp_path / "place" / "x"):
        pass


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize(
    ("arguments", "awaited"),
    [
        (["import", "big.parquet", "-o", "place/out"], "read"),
        (["run", "big.parquet", "-o", "place/out", "--embedder", "tfidf"], "index"),
        (["score", "big.parquet", "-m", "gigpo", "--jobs", "2", "-o", "place/out"], "score"),
    ],
)
def test_a_signal_leaves_one_line(
    arguments: list[str], awaited: str, number: int, code: int, tmp_path: Path
) -> None:
    many(tmp_path / "big.parquet")
    with subprocess.Popen(
        [*WORKBENCH, *arguments],
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        err = ""
        while awaited not in err:
            err += process.stderr.readline()
        time.sleep(0.1 if awaited == "read" else 0.5)  # an import takes half a second
        os.killpg(process.pid, number)  # to its workers too, as a terminal does
        err += process.stderr.read()
    assert process.returncode == code, err
    assert errors_in(err) == [line for line in err.splitlines() if "stopped by" in line]
    assert len(errors_in(err)) == 1
    assert "Traceback" not in err
    assert not (tmp_path / "place" / "out").is_file()


def many(path: Path) -> None:
    """A log whose import, scoring and run take seconds."""
    frame = pl.read_parquet(LOG)
    logs = [
        frame.with_columns(
            pl.format("{}-{}", pl.col(name), pl.lit(number)).alias(name)
            for name in ("group_id", "trajectory_id")
        )
        for number in range(30)
    ]
    pl.concat(logs).write_parquet(path)


def test_a_small_log_is_read_by_a_command_that_was_not_stopped(run: Run, tmp_path: Path) -> None:
    small(tmp_path / "log.parquet")
    before = signal.getsignal(signal.SIGTERM)
    assert run("score", "log.parquet", "-m", "grpo", "-o", "credit.parquet")[0] == 0
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_inside_a_library_is_one_all_the_same(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = small(tmp_path / "log.parquet")
    for name, code in (("KeyboardInterrupt", 130), ("root._SigtermKeyboardInterrupt", 143)):
        error = pl.exceptions.PanicException(f"PyErr {{ type: <class '{name}'> }}")
        monkeypatch.setattr("workbench.readers.import_to", Mock(side_effect=error))
        found, _, errors = run("import", log, "-o", "out.parquet")
        assert (found, errors.count("\n")) == (code, 1), errors
        assert "stopped by SIG" in errors


def test_a_signal_while_a_log_is_looked_at_stops_the_command(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = [{"messages": '[{"role": "assistant", "content": "ok"}]', "task_id": "a"}] * 20
    pl.DataFrame(rows).write_parquet(tmp_path / "chat.parquet")
    leave = pq.ParquetFile.__exit__

    def left(self: pq.ParquetFile, kind: type[BaseException] | None, *rest: object) -> None:
        leave(self, kind, *rest)
        if kind is GeneratorExit:  # its reader has seen enough
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(pq.ParquetFile, "__exit__", left)
    code, _, errors = run("import", tmp_path / "chat.parquet", "-o", "out.parquet")
    assert (code, errors.count("\n")) == (130, 1), errors
    assert "stopped by SIGINT" in errors
    assert not (tmp_path / "out.parquet").exists()
