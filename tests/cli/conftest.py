from __future__ import annotations

import sys
from pathlib import Path

import pytest
from commands import Result, Run

from workbench import cli


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs `workbench ARGUMENTS…` in a fresh folder: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def workbench(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["workbench", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as end:
            code = end.code
        else:
            code = 0
        captured = capsys.readouterr()
        return int(code or 0), captured.out, captured.err

    return workbench
