from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
import pytest

from workbench.errors import ParameterError, UnknownNameError
from workbench.workspace.tracked import of_audit, of_credits, train_step
from workbench.workspace.trackers import TRACKERS, split_target, track, tracker

KEPT: list[Any] = []


@pytest.fixture
def store() -> Iterator[list[Any]]:
    """A tracker `memory` whose place names an entry of a list."""

    class Memory:
        def __init__(self, place: str) -> None:
            self.place = place

        def log(self, values: Mapping[str, float], step: int) -> None:
            KEPT.append((self.place, dict(values), step))

        def close(self) -> None:
            KEPT.append("closed")

    TRACKERS.load()
    tracker("memory", description="A list.")(Memory)
    KEPT.clear()
    yield KEPT
    TRACKERS.remove("memory")


def test_numbers_that_are_not_known_or_not_finite_are_left_out(store: list[Any]):
    track("memory:a:b", {"x": 1, "y": None, "z": float("nan")}, 7)
    assert store == [("a:b", {"x": 1.0}, 7), "closed"]


def test_a_target_names_a_tracker_and_a_place():
    assert split_target("tensorboard:runs/a") == ("tensorboard", "runs/a")
    with pytest.raises(ParameterError, match="tensorboard:runs/"):
        split_target("tensorboard")
    with pytest.raises(UnknownNameError, match="did you mean 'tensorboard'"):
        split_target("tensorbord:x")


def test_the_step_is_the_last_that_the_log_trains():
    assert train_step(pl.DataFrame({"train_step": [3, 5, None]})) == 5
    assert train_step(pl.DataFrame({"train_step": [None]}, schema={"train_step": pl.Int64})) == 0
    assert train_step(pl.DataFrame({"x": [1]})) == 0


def test_names_say_credit_and_measure():
    assert of_credits([{"credit": "grpo", "mean": 0.5, "std": None}]) == {
        "credit/grpo/mean": 0.5, "credit/grpo/std": None,
    }  # fmt: skip
    frame = pl.DataFrame(
        {"credit": [None, "grpo", "grpo"], "measure": ["a", "b", "b"], "where": ["", "", "step 1"],
         "value": [1.0, 2.0, 3.0]}
    )  # fmt: skip
    assert of_audit(frame) == {"audit/log/a": 1.0, "audit/grpo/b": 2.0}
