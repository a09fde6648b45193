"""Names of what is not finished, and what dead processes left under such names.

A name is hidden and says which file or folder it will be, which process makes it and where that
runs: `.<name>.<process>-<machine>-….part`.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAME_BYTES = 100  # with what is added a longer name would be too long for the file system


def prefix_of(path: Path) -> str:
    """Begin of the temporary names of a file or folder, of this process."""
    name = path.name.lstrip(".").encode()[:_NAME_BYTES].decode(errors="ignore")
    return f".{name}.{os.getpid()}-{_machine()}-"


def maker_lives(temporary: Path) -> bool:
    """True if a temporary name's process runs; False where that cannot be known."""
    found = re.search(r"\.(\d+)-[^.]*\.parts?$", temporary.name)
    if found is None or os.name != "posix":  # elsewhere signal 0 is not a question
        return False
    try:
        os.kill(int(found[1]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's, so there is one
        return True
    return True


def sweep(folder: Path) -> None:
    """Remove what dead processes of this machine left in a folder under temporary names.

    What was made elsewhere stays, since nobody here knows whether its process lives.
    """
    if os.name != "posix":
        return
    pattern = f".*-{_machine()}-*.part"
    for left in [*folder.glob(pattern), *folder.glob(f"{pattern}s")]:
        if not maker_lives(left):
            # Another process may sweep the same; what is somebody else's stays.
            with suppress(OSError):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


@cache
def _machine() -> str:
    """The machine, or the container on it, in which a process number means the same process."""
    space = Path("/proc/self/ns/pid")
    numbers = space.readlink() if space.exists() else ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]
