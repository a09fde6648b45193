"""Drawn logs: what a credit would have been with other rollouts, without copying or embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, rows, steps
from vectors import AXES, Vectors, random_vectors

from workbench.analysis import resampling
from workbench.analysis.prediction import predicted
from workbench.analysis.resampling import drawn_spaces
from workbench.analysis.tuning.held_out import held_out
from workbench.analysis.tuning.tunable import Tunable, tunable_methods
from workbench.log.schema import validate
from workbench.log.steps import Index, Steps
from workbench.methods import create
from workbench.methods.proximity.proxmo import ProxMO
from workbench.states.space import Space

METHODS = ["grpo", "rloo", "gigpo", "proxmo"]


def whole(space: Space) -> tuple[Index, Index]:
    """Every trajectory in its own group: the log itself."""
    return np.arange(space.steps.trajectories), space.steps.trajectory_group


@pytest.mark.parametrize("name", METHODS)
def test_a_log_drawn_as_it_is_has_the_same_credit(name: str):
    found = Steps.from_log(random_log(np.random.default_rng(1), dense=True))
    space, method = Space(found, embedder=random_vectors(found, 2)), create(name)
    ((_, here, around),) = drawn_spaces(space, *whole(space))
    assert here.origin.tolist() == list(range(len(found)))
    drawn = method(here, around).advantage
    assert drawn.tobytes() == method(found, space).advantage.tobytes()


@given(described_logs(min_length=1), st.integers(0, 2**32 - 1), st.sampled_from(METHODS))
def test_drawn_groups_are_scored_like_a_log_of_those_rollouts(
    described: Described, seed: int, name: str
):
    found = steps(described)
    vectors = random_vectors(found, seed)
    rng = np.random.default_rng(seed)
    # Three draws, each of one group of the log, with rollouts missing and repeated.
    groups = list(described)
    trajectory, group, copied = [], [], {}
    first = {g: sum(len(described[o]) for o in groups[:k]) for k, g in enumerate(groups)}
    for number in range(3):
        chosen = groups[rng.integers(len(groups))]
        names = list(described[chosen])
        picks = rng.integers(len(names), size=rng.integers(1, 5))
        trajectory += [first[chosen] + pick for pick in picks]
        group += [number] * len(picks)
        copied[f"d{number}"] = {
            f"d{number}/{place}": described[chosen][names[pick]] for place, pick in enumerate(picks)
        }
    ((_, here, around),) = drawn_spaces(
        Space(found, embedder=vectors), np.array(trajectory), np.array(group)
    )
    drawn = create(name)(here, around).advantage
    written = steps(copied)
    expected = create(name)(written, Space(written, embedder=vectors)).advantage
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=1e-10)


def test_an_outsider_is_scored_but_counts_in_nothing():
    frame = rows({"g": {f"t{k}": [("p", "x", float(k == 0)), ("q", "x", 0.0)] for k in range(4)}})
    found = Steps.from_log(validate(frame).log)
    space = Space(found, embedder=AXES)
    ((_, here, around),) = drawn_spaces(
        space, *whole(space), outsider=np.array([True, False, False, False])
    )
    marked = frame.with_columns(in_group_statistics=frame["trajectory_id"] != "t0")
    written = Steps.from_log(validate(marked).log)
    for name in METHODS:
        expected = create(name)(written, Space(written, embedder=AXES)).advantage
        assert create(name)(here, around).advantage.tolist() == pytest.approx(expected.tolist())


def test_the_size_of_a_portion_changes_nothing(monkeypatch: pytest.MonkeyPatch):
    found = Steps.from_log(random_log(np.random.default_rng(1), dense=True))
    space = Space(found, embedder=random_vectors(found, 2))
    monkeypatch.setattr(resampling, "ROWS_AT_ONCE", 1)
    parts = list(drawn_spaces(space, *whole(space)))
    assert len(parts) == found.groups
    credit = [ProxMO()(here, around).advantage for _, here, around in parts]
    assert np.concatenate(credit).tobytes() == ProxMO()(found, space).advantage.tobytes()


def test_a_drawn_group_is_a_batch_of_its_own(monkeypatch: pytest.MonkeyPatch):
    # Two groups of two updates; the first is drawn twice, the second time without its last rollout.
    described = {
        "g": {"t0": [("s", "x", 1.0)], "t1": [("s", "x", 0.0)], "t2": [("s", "x", 3.0)]},
        "h": {"u0": [("s", "x", 2.0)], "u1": [("s", "x", 0.0)]},
    }
    found = steps(described, run_id="r", train_step=[1, 1, 1, 2, 2])
    space, method = Space(found, embedder=AXES), create("reinforce++")
    draws = np.array([0, 1, 2, 0, 1, 3, 4]), np.array([0, 0, 0, 1, 1, 2, 2])
    ((_, here, around),) = drawn_spaces(space, *draws)
    assert here.batch.tolist() == [0, 0, 0, 1, 1, 2, 2]
    names = ["run r, update 1", "run r, update 1", "run r, update 2"]
    assert [here.batch_name(batch) for batch in range(3)] == names
    together = method(here, around).advantage
    assert together[[0, 1, 2, 5, 6]].tolist() == method(found, space).advantage.tolist()
    monkeypatch.setattr(resampling, "ROWS_AT_ONCE", 1)
    apart = [method(of, around).advantage for _, of, around in drawn_spaces(space, *draws)]
    assert np.concatenate(apart).tolist() == together.tolist()


def test_nothing_is_embedded_again():
    found = Steps.from_log(random_log(np.random.default_rng(1)))
    vectors, calls = random_vectors(found, 2), []

    class Counting(Vectors):
        def encode(self, *arguments: Any) -> Any:
            calls.append(1)
            return vectors.encode(*arguments)

    space = Space(found, embedder=Counting({}))
    for _, here, around in drawn_spaces(space, *whole(space)):
        ProxMO()(here, around)
        ProxMO()(here, around)
    assert len(calls) == 1


@pytest.mark.parametrize("temperature", [0.05, 0.4])
def test_any_method_is_held_out_as_proximity_baselines_are_at_once(temperature: float):
    found = Steps.from_log(random_log(np.random.default_rng(1), rollouts=5, dense=True))
    space = Space(found, embedder=random_vectors(found, 2))
    for peers in ("all", "other_steps", "other_trajectories"):
        method = ProxMO(temperature=temperature, peers=peers)
        credit = method(found, space)
        one = predicted(method, credit, space)
        error = ((one.score - one.baseline) ** 2)[one.chosen].mean()
        plain = ((one.score - one.plain) ** 2)[one.chosen].mean()
        at_once = held_out(method, credit, space, [temperature])
        assert (error, plain) == pytest.approx((at_once.error[0], at_once.plain))
        assert one.chosen.sum() == at_once.steps


class Slowly(ProxMO):
    """ProxMO without its short cut: a method that declares a field to be tuned and no more."""

    held_out_baselines = None  # type: ignore[assignment]


def test_a_method_needs_no_short_cut_to_be_tuned():
    found = Steps.from_log(random_log(np.random.default_rng(1), rollouts=5, dense=True))
    space, values = Space(found, embedder=random_vectors(found, 2)), [0.05, 0.4, 3.0]
    method = Slowly()
    assert isinstance(method, Tunable)
    slow = held_out(method, method(found, space), space, values)
    fast = held_out(ProxMO(), ProxMO()(found, space), space, values)
    assert slow.error.tolist() == pytest.approx(fast.error.tolist())
    assert (slow.steps, slow.groups, slow.tied) == (fast.steps, fast.groups, fast.tied)


def test_trajectory_methods_predict_as_well_as_the_plain_mean():
    found = Steps.from_log(random_log(np.random.default_rng(1), rollouts=5))
    space = Space(found, embedder=AXES)
    for name in ("grpo", "rloo"):
        method = create(name)
        one = predicted(method, method(found, space), space)
        assert one.chosen.any()
        assert one.baseline.tolist() == pytest.approx(one.plain.tolist())


def test_a_state_without_peers_is_predicted_by_the_plain_mean():
    # γ 1. t0 in p has a peer in t1 (return 0); t2's state is met by no other: (1 + 0)/2.
    # t1 in p has t0's return 1.
    described = {"g": {"t0": [("p", "x", 1.0)], "t1": [("p", "x", 0.0)], "t2": [("q", "x", 0.0)]}}
    found = steps(described)
    method, space = create("gigpo", {"gamma": 1.0}), Space(found, embedder=AXES)
    one = predicted(method, method(found, space), space)
    assert one.baseline.tolist() == [0.0, 1.0, 0.5]
    assert one.plain.tolist() == [0.0, 0.5, 0.5]
    assert one.is_outcome


def test_a_score_that_is_made_of_other_rollouts_is_no_outcome():
    found = Steps.from_log(random_log(np.random.default_rng(1), rollouts=5, texts=2))
    method, space = create("mc-q"), Space(found, embedder=AXES)
    assert not predicted(method, method(found, space), space).is_outcome


def test_methods_that_can_be_tuned_are_listed():
    assert "proxmo" in tunable_methods()
    assert "grpo" not in tunable_methods()
