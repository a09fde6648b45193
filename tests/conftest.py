"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from streamlit.testing.v1 import AppTest

pytest.register_assert_rewrite("method_contract")
settings.register_profile("workbench", deadline=None, derandomize=True)
settings.load_profile("workbench")

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("WORKBENCH_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real rollouts, which are read but not part of the repository.

    Where it is missing the test is skipped with the reason; with CI=true that is a failure, so
    that no test is lost there unnoticed.
    """
    if not (SHARED / "data").is_dir():
        reason = f"real rollouts are not at {SHARED}; set WORKBENCH_SHARED to where they are"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return SHARED


OpenApp = Callable[..., "AppTest"]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenApp:
    """Opens the app on a log (the bundled one by default) at a page; no browser, no server."""

    def opened(
        frame: pl.DataFrame | None = None,
        *,
        page: str = "log",
        query: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> AppTest:
        from streamlit.testing.v1 import AppTest
        from streamlit.util import calc_hash

        log = ROOT / "data" / "household.parquet"
        if frame is not None:
            log = tmp_path / "given.parquet"
            frame.write_parquet(log)
        home = str(tmp_path / "home")
        monkeypatch.setattr(sys, "argv", ["app.py", str(log), "--home", home, *arguments])
        test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for key, value in (query or {}).items():
            test.query_params[key] = value
        # Streamlit puts its script in the place of the main module, which a process that a later
        # test starts would run.
        monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
        test.run()
        if page != "log":
            # AppTest.switch_page knows only pages that are files; ours are functions.
            test._page_hash = calc_hash(page)
            test.run()
        return test

    return opened
