"""Engines: what runs a function over many tasks, here, in processes, or on a Ray cluster.

Tasks are small and name files; what they make, they write. So nothing large travels, a task that
is done twice does no harm, and one that a lost worker had begun is done again by another.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Protocol, TypeVar

from workbench.errors import (
    MissingDependencyError,
    ParameterError,
    UnknownNameError,
    WorkerLostError,
)
from workbench.wording import Progress, number_of, shortened

_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
_TRIES = 3
_NO_CLUSTER = (ConnectionError, RuntimeError, ValueError)

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine(Protocol):
    """Interface of engines, which run a function over tasks."""

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """Number of a task and its result, in the order in which they are done.

        Args:
            function: Of a module, so that another process can import it; may be called twice for
                a task.
            tasks: Picklable; `str` of one says where it is, for messages.

        Raises:
            WorkerLostError: A worker ended several times over one task.
            Exception: What the function raises, with a note that names the task.
        """


@dataclass(frozen=True)
class Here:
    """This process, one task after the other."""

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """See `Engine.map`; no worker can be lost."""
        for number, task in enumerate(tasks):
            with _naming(task):
                result = function(task)
            yield number, result


@dataclass(frozen=True)
class Processes:
    """Processes of this machine, which share its cores.

    Args:
        jobs: How many.
        threads: Of each; None divides the cores between them.
    """

    jobs: int
    threads: int | None = None

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """See `Engine.map`.

        A pool that lost a worker says nothing of what that one did. So what was begun is done
        again one by one, where it can be told which task it is that ends its worker.
        """
        left = dict(enumerate(tasks))
        lost = dict.fromkeys(left, 0)
        suspects: list[int] = []
        while left:
            suspects = [number for number in suspects if number in left]
            size = 1 if suspects else min(self.jobs, len(left))
            with _environment(_threads(self.jobs, self.threads)), _pool(size) as pool:
                with _deaf_to_interrupts():
                    futures = {pool.submit(function, left[n]): n for n in suspects or list(left)}
                try:
                    for future in as_completed(futures):
                        number = futures[future]
                        with _naming(left[number]):
                            result = future.result()
                        del left[number]
                        yield number, result
                except BrokenProcessPool:
                    begun = [number for number in futures.values() if number in left]
                    if suspects:
                        lost[begun[0]] += 1
                        if lost[begun[0]] == _TRIES - 1:
                            raise _lost(left[begun[0]]) from None
                    suspects = suspects or begun[:size]
                finally:
                    for future in futures:
                        future.cancel()


@dataclass(frozen=True)
class Ray:
    """A Ray cluster.

    Args:
        address: Of the cluster, such as "auto" or "ray://host:10001"; None starts one on this
            machine for as long as the work takes.
        jobs: Workers of a cluster that is started here; as many as there are cores by default.
    """

    address: str | None = None
    jobs: int | None = None

    def map(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[int, Result]]:
        """See `Engine.map`; Ray does what a lost worker had begun again by itself.

        Raises:
            MissingDependencyError: Ray is not installed.
        """
        try:
            import ray
        except ModuleNotFoundError as error:
            raise MissingDependencyError(
                "--engine ray needs the package ray, which is not installed. Hint: pip install "
                "'trajectory-workbench[ray]'"
            ) from error
        started = not ray.is_initialized()
        if started:
            _start(ray, self.address, self.jobs)
        try:
            remote = ray.remote(max_retries=_TRIES - 1)(function)
            numbers = {remote.remote(task): number for number, task in enumerate(tasks)}
            while numbers:
                (done,), _ = ray.wait(list(numbers), num_returns=1)
                number = numbers.pop(done)
                with _naming(tasks[number]):
                    try:
                        result = ray.get(done)
                    except ray.exceptions.WorkerCrashedError as error:
                        raise _lost(tasks[number]) from error
                    except ray.exceptions.RayTaskError as error:
                        raise (error.cause or error) from None
                yield number, result
        finally:
            if started:
                ray.shutdown()


def results(
    engine: Engine,
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    stage: str,
    progress: Progress,
) -> list[Result]:
    """Results of tasks, in their order whichever is done first.

    Args:
        engine: What works on them.
        function: As for `Engine.map`.
        tasks: As for `Engine.map`.
        stage: What is done, for `progress`.
        progress: Told how many tasks are done.

    Raises:
        Exception: As for `Engine.map`.
    """
    found: dict[int, Result] = {}
    progress(stage, 0, len(tasks))
    for number, result in engine.map(function, tasks):
        found[number] = result
        progress(stage, len(found), len(tasks))
    return [found[number] for number in range(len(tasks))]


ENGINES = ("local", "ray")


def engine_of(name: str = "local", jobs: int | None = None, address: str | None = None) -> Engine:
    """The engine of the command line's options.

    Args:
        name: "local" or "ray".
        jobs: Processes; 1 works in this one.
        address: Of a Ray cluster.

    Raises:
        UnknownNameError: No such engine.
        ParameterError: An address without Ray, or fewer than one process.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    if jobs is not None and jobs < 1:
        raise ParameterError(f"jobs must be at least 1, got {jobs}")
    if name == "ray":
        return Ray(address, jobs)
    if address is not None:
        raise ParameterError(f"the address {address!r} is that of a Ray cluster. Hint: engine ray")
    return Processes(jobs) if jobs is not None and jobs > 1 else Here()


def _threads(jobs: int, threads: int | None = None) -> dict[str, str]:
    """Variables under which a process takes its share of the cores, or so many threads."""
    return dict.fromkeys(_THREADS, str(threads or max(1, (os.cpu_count() or 1) // jobs)))


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Processes that start meanwhile have these variables."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _pool(size: int) -> Iterator[ProcessPoolExecutor]:
    """A pool whose workers end at once where nobody waits any more for what they are at."""
    # Forked children could inherit locks of polars' threads, so they are started afresh.
    context = get_context("spawn")
    watched, held = context.Pipe(duplex=False)
    with (
        watched,
        held,
        ProcessPoolExecutor(size, context, initializer=_end_with, initargs=(watched,)) as pool,
    ):
        try:
            yield pool
        except (KeyboardInterrupt, GeneratorExit):
            held.close()
            raise


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile leave SIGINT to this one, which gets its own afterwards.

    A terminal sends it to all of them, and each would write a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with(watched: Connection) -> None:
    """Let this process end as soon as the other end of a pipe is closed.

    Its parent closes it, or a signal that ends the parent does.
    """

    def watch() -> None:
        with suppress(OSError):
            watched.poll(None)  # nothing is ever sent
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _start(ray: Any, address: str | None, jobs: int | None) -> None:
    own = {} if address else {"num_cpus": jobs, "include_dashboard": False}
    # Workers of a cluster that is started here import what this process can, and run when it can:
    # Ray would let all others go first.
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "RAY_worker_niceness": "0"}
    for left in reversed(range(_TRIES)):
        try:
            with _environment(_threads(jobs or os.cpu_count() or 1) | path):
                ray.init(
                    address=address or "local", log_to_driver=False, logging_level="error", **own
                )
        except Exception as error:
            ray.shutdown()
            # A bare one says that a busy machine took longer to start than Ray waits.
            if type(error) is Exception and left:
                continue
            if type(error) is not Exception and not isinstance(error, _NO_CLUSTER):
                raise
            raise ParameterError(
                f"no Ray cluster at {address!r}: {shortened(str(error), 200)}. "
                "Hint: `ray status` tells whether one runs; without an address one is started here"
            ) from error
        return


@contextmanager
def _naming(task: object) -> Iterator[None]:
    """An error that passes gets a note that says over which task it was raised."""
    try:
        yield
    except BrokenProcessPool:
        raise
    except Exception as error:
        error.add_note(f"while working on {task}")
        raise


def _lost(task: object) -> WorkerLostError:
    return WorkerLostError(
        f"a worker ended {number_of(_TRIES, 'time')} over {task}, as it does when memory runs out. "
        "Hint: fewer jobs at a time; what was done is kept, and the same command goes on there"
    )
