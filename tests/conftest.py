"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings
from places import ROOT

pytest.register_assert_rewrite("method_contract")
settings.register_profile("workbench", deadline=None, derandomize=True)
settings.load_profile("workbench")

SHARED = Path(os.environ.get("WORKBENCH_SHARED", ROOT.parent / "shared"))


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
