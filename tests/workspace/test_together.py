"""Two processes that run on one workspace at once both finish, with the same artefacts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from folders import names
from places import DATA

from workbench.exporters import read_manifest
from workbench.files import read_artefact_manifest

TFIDF = """
from workbench.workspace.pipeline import run
"""

# A sentence model whose vectors are lengths of words; each text takes a while, and is kept.
SLOW = """
import time
import numpy as np
from workbench.states.embedders.sentence_transformer import SentenceEmbedder
from workbench.states.embedders.vector_cache import Entry, text_hash
from workbench.workspace.pipeline import run

def encode(self, texts, known, progress):
    for at in range(0, len(texts), 50):
        fresh = {}
        for text in texts[at : at + 50]:
            vector = np.bincount([len(word) % 8 for word in text.split()], minlength=8)
            length = max(float(np.linalg.norm(vector)), 1.0)
            fresh[text_hash(text)] = Entry((vector / length).astype(np.float32), 1)
        time.sleep(0.01)
        self._keep(fresh, known)

SentenceEmbedder.key = "slow"
SentenceEmbedder._encode = encode
"""


def together(code: str, folder: Path, embedder: str, count: int = 2) -> None:
    """Runs the same pipeline in several processes that start at the same moment."""
    log = str(DATA / "household.parquet")
    script = (
        f"{code}\nimport sys\nprint('ready', flush=True)\nsys.stdin.readline()\n"
        f"run([{log!r}], {str(folder)!r}, methods=['grpo', 'proxmo'], embedder={embedder!r})\n"
    )
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n", process.communicate()[1]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors


@pytest.mark.parametrize(("code", "embedder"), [(TFIDF, "tfidf"), (SLOW, "slow/model")])
def test_two_runs_on_one_workspace_at_once_both_finish(code: str, embedder: str, tmp_path: Path):
    for attempt in range(2):
        work = tmp_path / str(attempt)
        together(code, work, embedder)
        (log,), (batch,) = (work / "log").iterdir(), (work / "exports").iterdir()
        assert read_artefact_manifest(log)
        assert read_manifest(batch).counts["steps"] == 3732
        assert len(names(work / "credit")) == 2
        # Nothing unfinished is left.
        assert not list(work.rglob("*.part"))
