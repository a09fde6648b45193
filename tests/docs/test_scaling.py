"""docs/scaling.md scores in parts from Python; here that is run as a script."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from places import ROOT

import workbench


def test_the_documented_script_scores_in_parts(tmp_path: Path):
    text = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"<!-- parts -->\n```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "parts.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "parts.py"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    space = workbench.open_log("household", embedder="tfidf")
    whole = workbench.score(space, "proxmo").table()
    first, *title = done.stdout.splitlines()
    assert first == f"proxmo {whole.height}"
    assert title[0].startswith("3,732 steps in 160 trajectories")
    assert (tmp_path / "batch" / "manifest.json").is_file()
    assert workbench.read_credit(tmp_path / "credit.parquet").table.equals(whole, null_equal=True)
