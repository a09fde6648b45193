"""HDF5 files, read by a process of their own.

In a damaged file the library may run for ever, which nothing in its process can end, or end the
process. So another one reads, with a bound on the time that it computes, and tells what it read as
JSON lines.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import MissingDependencyError
from workbench.readers.bounds import require_unpacked

SECONDS = 60
"""Seconds that a file may take to read, and one more for each of its megabytes."""

_CODE = "from workbench.readers.hdf5 import tell; tell()"
_PACKAGE = Path(__file__).parents[2]


def groups_of(path: Path, prefix: str, without: str) -> Iterator[tuple[str, Any, Any]]:
    """The top-level groups of a file whose names are a prefix and a number, by that number.

    Args:
        path: The file.
        prefix: What their names begin with.
        without: A member of a group that is not read.

    Yields:
        Name, attributes and members of a group: arrays as lists, groups as objects.

    Raises:
        OSError: It is damaged, or takes too long.
        BeyondBoundError: It unpacks to more than it may.
        MissingDependencyError: h5py is not installed.
    """
    if find_spec("h5py") is None:
        raise MissingDependencyError(
            f"{path} is HDF5, which needs h5py. Hint: pip install 'trajectory-workbench[minari]'"
        )
    size = path.stat().st_size
    seconds = SECONDS + size // 2**20
    # -P: the current folder, where anything may lie, is no place to import from.
    command = [sys.executable, "-P", "-c", _CODE, str(path), prefix, without, str(seconds)]
    paths = [str(_PACKAGE), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    told = 0
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        assert process.stdout is not None
        try:
            for line in process.stdout:
                told += len(line)
                found = json.loads(line)
                require_unpacked(max(told, found.get("bytes", 0)), size)
                if "error" in found:
                    raise OSError(found["error"])
                if "name" in found:
                    yield found["name"], found["attributes"], found["members"]
        finally:
            process.kill()
        if status := process.wait():
            complaints.seek(0)
            raise OSError(_end(status, seconds, complaints.read().decode(errors="replace")))


def _end(status: int, seconds: int, complaints: str) -> str:
    """The way a process ended, in words."""
    if -status == getattr(signal, "SIGXCPU", None):
        return f"it is not read after {seconds:,} seconds"
    last = (complaints.strip().splitlines() or [""])[-1]
    return f"its reader ended with status {status}" + (f": {last}" if last else "")


def tell() -> None:
    """The process that reads: a line for the size of all, and one for each group."""
    import h5py

    path, prefix, without, seconds = sys.argv[1:]
    if os.name == "posix":
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 5))
    try:
        with h5py.File(path, "r") as file:
            names = [name for name in file if name.startswith(prefix)]
            names = sorted(names, key=lambda name: int(name.removeprefix(prefix)))
            _say(bytes=sum(_size(file[name], without) for name in names))
            for name in names:
                group = file[name]
                members = {key: _value(group[key]) for key in group if key != without}
                attributes = {key: plain(value) for key, value in group.attrs.items()}
                _say(name=name, attributes=attributes, members=members)
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
        _say(error=str(error) or type(error).__name__)


def _say(**found: Any) -> None:
    sys.stdout.write(json.dumps(found, default=str) + "\n")


def _size(item: Any, without: str = "") -> int:
    """Bytes that the arrays of a group take, as the file declares them."""
    if hasattr(item, "keys"):
        return sum(_size(item[key]) for key in item if key != without)
    return int(item.nbytes)


def _value(item: Any) -> Any:
    """A dataset as a list, a group as an object: spaces of several parts are kept as groups."""
    if hasattr(item, "keys"):
        return {key: _value(item[key]) for key in item}
    return plain(item[()])


def plain(value: Any) -> Any:
    """A value of numpy or Arrow as JSON has it."""
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value
