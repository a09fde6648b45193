"""The notebook of examples/ runs from top to bottom, as a person would run it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

NOTEBOOK = ROOT / "examples" / "credit.ipynb"


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert [(cell["outputs"], cell["execution_count"]) for cell in code] == [([], None)] * len(code)
    assert len(code) < len(cells)


# Jupyter's own messages about what it will change are nothing of ours.
@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_in_under_a_minute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if not os.environ.get("CI"):
        pytest.importorskip("nbclient")
        pytest.importorskip("ipykernel")
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(NOTEBOOK, as_version=4)
    began = time.monotonic()
    NotebookClient(book, timeout=60, resources={"metadata": {"path": str(tmp_path)}}).execute()
    assert time.monotonic() - began < 60
    shown = [outputs_of(cell) for cell in book.cells if cell["cell_type"] == "code"]
    assert all(shown)
    text = "\n".join(shown)
    # Six lines of facts, the table of pairs, two figures, a sum, a finding, a pair.
    assert "52.5 % (by success)" in text
    assert "sign_flip_share" in text
    assert text.count("application/vnd.plotly") == 2
    assert "(episode)" in text
    assert "worse-than-the-mean (gigpo)" in text
    assert "chosen" in text


def outputs_of(cell: Any) -> str:
    """Output of a cell as text, with the types of what is no text."""
    parts = []
    for output in cell["outputs"]:
        data = output.get("data", {})
        parts += [output.get("text", ""), data.get("text/plain", ""), data.get("text/html", "")]
        parts += [kind for kind in data if kind.startswith("application/vnd.")]
    return "\n".join(filter(None, parts))
