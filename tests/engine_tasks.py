"""Tasks of workers in tests of engines: work, end at once, or raise; and an engine at hand."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError


class Elsewhere:
    """An engine whose tasks travel and end in another order, as in other processes.

    Args:
        times: Each is done so often, as where workers are lost.
    """

    def __init__(self, times: int = 1) -> None:
        self._times = times

    def map(
        self, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[int, Any]]:
        for number in reversed(range(len(tasks))):
            for _ in range(self._times):
                there = pickle.loads(pickle.dumps((function, tasks[number])))
                result = pickle.dumps(there[0](there[1]))
            yield number, pickle.loads(result)


def doubled(number: int) -> int:
    return 2 * number


def killed_once(path: Path) -> str:
    """Is killed at the first call for a path, and gives its name at the second."""
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return path.name
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive")


def killed(path: Path) -> str:
    if path.name == "b":
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def refused(path: Path) -> str:
    raise ParameterError(f"{path.name} is refused")


def waiting(path: Path) -> None:
    """Writes its process into the path; is at it for ever if that says so."""
    path.write_text(str(os.getpid()))
    if path.name == "for ever":
        time.sleep(600)
    while not path.with_name("for ever").is_file():
        time.sleep(0.01)
