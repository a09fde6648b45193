"""Scores by name or word, as numbers."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.readers.scores import score_number


@pytest.mark.parametrize(
    ("value", "reward"),
    [
        ("C", 1.0), ("I", 0.0), ("P", 0.5), ("N", 0.0), (True, 1.0), ("yes", 1.0), ("0.25", 0.25),
        (3, 3.0), ("good", None), ([1, 2], None), (10**400, float("inf")),
    ],
)  # fmt: skip
def test_scores_mean_what_they_mean_to_inspect(value: Any, reward: float | None):
    assert score_number(value) == reward
