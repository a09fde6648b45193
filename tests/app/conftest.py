"""The app, opened without a browser or a server."""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl
import pytest
from app_pages import OpenApp
from places import DATA, ROOT
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash


@pytest.fixture(autouse=True)
def main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """The main module as it was: Streamlit puts its script in its place.

    A process that a later test starts would run that script.
    """
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenApp:
    """Opens the app on a log (the bundled one by default) at a page; no browser, no server."""

    def opened(
        frame: pl.DataFrame | None = None,
        *,
        path: Path = DATA / "household.parquet",
        page: str = "overview",
        query: dict[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> AppTest:
        log = path
        if frame is not None:
            log = tmp_path / "given.parquet"
            frame.write_parquet(log)
        home = str(tmp_path / "home")
        monkeypatch.setattr(sys, "argv", ["app.py", str(log), "--home", home, *arguments])
        test = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
        for key, value in (query or {}).items():
            test.query_params[key] = value
        test.run()
        if page != "overview":
            # AppTest.switch_page knows only pages that are files; ours are functions.
            test._page_hash = calc_hash(page)
            test.run()
        return test

    return opened
