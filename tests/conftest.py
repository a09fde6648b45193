"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from browser import browser, chromium
from filelock import FileLock
from hypothesis import settings
from places import ROOT

pytest.register_assert_rewrite("method_contract")
settings.register_profile("workbench", deadline=None, derandomize=True)
settings.load_profile("workbench")
# Tables are as wide as without a terminal, whatever the shell or the worker of a test says.
os.environ.pop("COLUMNS", None)
# In the background of a script a process ignores SIGINT, which tests of signals need to be heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SHARED = Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))


def not_here(reason: str) -> None:
    """Skips a test with a reason; with CI=true it fails, so that none is lost unnoticed."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real rollouts, which are read but not part of the repository."""
    if not (SHARED / "data").is_dir():
        not_here(f"real rollouts are not at {SHARED}; set WORKBENCH_SHARED to where they are")
    return SHARED


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the server of a module's browser tests."""
    if chromium() is None:
        not_here("no Chromium: install Debian's chromium, or set CHROMIUM to one")
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def chrome(home: Path) -> Iterator[Browser]:
    """The browser of a module's tests; there is one at a time, whatever the number of workers."""
    with (
        FileLock(Path(tempfile.gettempdir()) / "workbench-tests-browser.lock"),
        browser() as started,
    ):
        yield started
