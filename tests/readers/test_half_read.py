"""Files that are only looked at: what is raised while they are let go of comes out."""

from __future__ import annotations

import io
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from log_files import record, write_lines

from workbench.readers import read
from workbench.readers.base import HEAD_BYTES
from workbench.readers.chat_records import keys_in
from workbench.readers.containers import first_record
from workbench.readers.formats.scout import Scout
from workbench.readers.proposals import proposed

RECORDS = [record(task_id=f"task {at}") for at in range(2000)]


def _parquet(path: Path) -> None:
    rows = [one | {"messages": json.dumps(one["messages"])} for one in RECORDS]
    pl.DataFrame(rows).write_parquet(path)


def _csv(path: Path) -> None:
    rows = [one | {"messages": json.dumps(one["messages"])} for one in RECORDS]
    pl.DataFrame(rows).write_csv(path)


WRITE: dict[str, Callable[[Path], object]] = {
    "parquet": _parquet,
    "csv": _csv,
    "array": lambda path: path.write_text(json.dumps(RECORDS), encoding="utf-8"),
    "objects": lambda path: write_lines(path, [json.dumps(one, indent=1) for one in RECORDS]),
    "lines": lambda path: write_lines(path, RECORDS),
}


def _first_record(path: Path) -> None:
    with path.open("rb") as file:
        first_record(path, file.read(HEAD_BYTES))


def interrupted(kind: type[BaseException] | None) -> None:
    """Raise SIGINT where a half-read generator lets go of its file."""
    if kind is GeneratorExit:
        signal.raise_signal(signal.SIGINT)


class File(io.BufferedReader):
    """A file that a signal finds at its end."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        super().__exit__(kind, *rest)
        interrupted(kind)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> None:
    """A SIGINT whenever a file is let go of that a generator has read in part."""
    leave, opened = pq.ParquetFile.__exit__, Path.open

    def leave_parquet(self: Any, kind: Any, *rest: Any) -> None:
        leave(self, kind, *rest)
        interrupted(kind)

    def leave_window(self: Any, kind: Any, *_: Any) -> None:
        self._file.close()
        interrupted(kind)

    def open_file(self: Path, mode: str = "r", **options: Any) -> Any:
        return File(io.FileIO(self)) if mode == "rb" else opened(self, mode, **options)

    monkeypatch.setattr(pq.ParquetFile, "__exit__", leave_parquet)
    monkeypatch.setattr("workbench.readers.spread._Window.__exit__", leave_window)
    monkeypatch.setattr(Path, "open", open_file)


@pytest.mark.parametrize("container", WRITE)
@pytest.mark.parametrize("look", [keys_in, proposed, _first_record])
@pytest.mark.usefixtures("signals")
def test_a_signal_while_a_file_is_let_go_of_comes_out(
    look: Callable[[Path], object], container: str, tmp_path: Path
):
    path = tmp_path / "log"
    WRITE[container](path)
    if (look, container) == (_first_record, "lines"):  # its head is enough
        _first_record(path)
        return
    with pytest.raises(KeyboardInterrupt):
        look(path)


@pytest.mark.usefixtures("signals")
def test_a_signal_at_a_file_that_is_compared_with_the_one_before_comes_out(tmp_path: Path):
    for number in (1, 2):
        rows = [
            {"step": number, "prompt": f"p{number}{at}", "completion": "c", "advantage": 0.0}
            for at in range(50)
        ]
        pl.DataFrame([row | {"r": 1.0} for row in rows]).select(
            "step", "prompt", "completion", "r", "advantage"
        ).write_parquet(tmp_path / f"completions_0000{number}.parquet")
    with pytest.raises(KeyboardInterrupt):
        read([tmp_path])


@pytest.mark.usefixtures("signals")
def test_a_signal_at_a_reader_that_ends_before_its_file_comes_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    talk = json.dumps([{"role": "user", "content": "go"}, {"role": "assistant", "content": "ok"}])
    path = tmp_path / "log.parquet"
    pl.DataFrame({"transcript_id": ["a", "b"], "messages": [talk] * 2}).write_parquet(path)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr("workbench.readers.formats.scout._add", fail)
    with pytest.raises(KeyboardInterrupt):
        Scout().read(path, {})
