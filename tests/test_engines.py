"""Engines: all tasks are done, lost workers' too, and what goes wrong names its task."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest
from engine_tasks import doubled, killed, killed_once, refused, waiting

from workbench.engines import Engine, Here, Processes, Ray, _start, engine_of
from workbench.errors import ParameterError, UnknownNameError, WorkerLostError


@pytest.fixture(scope="module", params=["here", "processes", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param != "ray":
        return Here() if request.param == "here" else Processes(2)
    if os.environ.get("CI") != "true":
        pytest.importorskip("ray", reason="the extra ray is not installed")
    return Ray(jobs=2)


def test_every_task_is_done_once(engine: Engine):
    assert sorted(engine.map(doubled, range(5))) == [(n, 2 * n) for n in range(5)]
    assert list(engine.map(doubled, [])) == []


def test_an_error_names_its_task(engine: Engine, tmp_path: Path):
    with pytest.raises(ParameterError, match="a is refused") as caught:
        list(engine.map(refused, [tmp_path / "a"]))
    assert caught.value.__notes__ == [f"while working on {tmp_path / 'a'}"]


def test_what_a_lost_worker_had_begun_is_done_again(engine: Engine, tmp_path: Path):
    if isinstance(engine, Here):
        pytest.skip("there is no other process that could end")
    tasks = [tmp_path / name for name in "abcd"]
    found = dict(engine.map(killed_once, tasks))
    assert found == dict(enumerate("abcd"))


def test_a_task_that_ends_every_worker_is_named(engine: Engine, tmp_path: Path):
    if isinstance(engine, Here):
        pytest.skip("there is no other process that could end")
    with pytest.raises(WorkerLostError, match=f"ended 3 times over {tmp_path / 'b'}"):
        list(engine.map(killed, [tmp_path / name for name in "b"]))


def test_an_engine_is_chosen_by_name():
    assert engine_of() == Here() == engine_of(jobs=1)
    assert engine_of(jobs=3) == Processes(3)
    assert engine_of("ray", 2, "auto") == Ray("auto", 2)
    with pytest.raises(UnknownNameError, match="did you mean 'ray'"):
        engine_of("rai")
    with pytest.raises(ParameterError, match="at least 1, got 0"):
        engine_of(jobs=0)
    with pytest.raises(ParameterError, match="that of a Ray cluster"):
        engine_of(address="auto")


def test_who_stops_early_ends_the_own_workers_alone(tmp_path: Path):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with other, ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(doubled, 1).result() == 2
        found = Processes(2).map(waiting, [tmp_path / "one", tmp_path / "for ever"])
        assert next(found) == (0, None)
        found.close()  # type: ignore[attr-defined]  # a generator
        assert pool.submit(doubled, 2).result() == 4
        assert other.poll() is None
        other.communicate(b"\n")
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "for ever").read_text()), 0)


def test_a_cluster_that_starts_slowly_is_tried_again():
    class Slow:
        """Stand-in for Ray, whose first starts take longer than it waits."""

        def __init__(self, failures: int) -> None:
            self.failures = failures

        def init(self, **options: object) -> None:
            self.failures -= 1
            if self.failures >= 0:
                raise Exception("timed out during startup")

        def shutdown(self) -> None:
            pass

    _start(Slow(2), None, 1)
    with pytest.raises(ParameterError, match="no Ray cluster at None: timed out during startup"):
        _start(Slow(3), None, 1)
