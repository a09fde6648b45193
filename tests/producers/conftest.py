"""These tests run where the producers are installed (extra `producers`), not with the others.

`PRODUCERS="inspect s3"` names the modules `test_inspect` and `test_s3` as those whose producer is
there: a test of them that is skipped has failed.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("WANDB_MODE", "disabled")
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
os.environ.setdefault("DO_NOT_TRACK", "1")

FOLDER = Path(__file__).parent
EXPECTED = {FOLDER / f"test_{name}.py" for name in os.environ.get("PRODUCERS", "").split()}


def pytest_configure() -> None:
    """Refuses names that no module has."""
    missing = sorted(path.name for path in EXPECTED if not path.exists())
    if missing:
        raise pytest.UsageError(f"PRODUCERS names {missing}, which are not in {FOLDER}")


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report, collector.path)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    report = yield
    _refuse_skip(report, item.path)
    return report


def _refuse_skip(report: pytest.CollectReport | pytest.TestReport, path: Path) -> None:
    if report.skipped and path in EXPECTED:
        report.outcome = "failed"
        report.longrepr = f"PRODUCERS says that this runs here, but: {report.longrepr}"
