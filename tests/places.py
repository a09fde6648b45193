"""Where the repository is, and the folders in it that tests read from."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
DATA = ROOT / "data"
SAMPLES = TESTS / "samples"
GOLDEN = TESTS / "golden"
