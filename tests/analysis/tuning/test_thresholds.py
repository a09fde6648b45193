"""Held-out error of state keys by similarity, by threshold."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from logs import Described, random_log, steps
from vectors import Vectors, one_step, random_vectors

from workbench.analysis.prediction import mean_of_others, predicted
from workbench.analysis.tuning.held_out import HeldOut, held_out
from workbench.analysis.tuning.thresholds import EXACT, THRESHOLDS, KeyThreshold
from workbench.analysis.tuning.tunable import tunable_methods, tuned_by
from workbench.errors import ParameterError
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.backup.crbc import CRBC
from workbench.states.keys import parse_state_key
from workbench.states.space import Space

# cos(p, p') = .96, cos(p', q) = .28, cos(p, q) = 0.
NEAR = Vectors({"p": (1.0, 0.0), "p'": (0.96, 0.28), "q": (0.0, 1.0)})
TWO_CLUSTERS = one_step(("p", 4.0), ("p'", 2.0), ("q", 0.0), ("q", 0.0))


def held(found: Steps, embedder: Any, name: str, values: Any = None, **fields: Any) -> HeldOut:
    method, space = create(name, fields), Space(found, embedder=embedder)
    return held_out(method, method(found, space), space, values)


def test_error_of_two_clusters_by_hand():
    # At .9 p and p' predict each other: 4 and 2, off by 2 each; q and q are both 0.
    # With exact keys p and p' fall back to the plain mean of the others, 2/3 and 4/3.
    # At .2 all are one cluster, which is the plain mean: 2/3, 4/3, and 2 for both q.
    result = held(steps(TWO_CLUSTERS), NEAR, "gigpo", [0.2, 0.9, EXACT])
    exact = ((4 - 2 / 3) ** 2 + (2 - 4 / 3) ** 2) / 4
    plain = ((4 - 2 / 3) ** 2 + (2 - 4 / 3) ** 2 + 4 + 4) / 4
    assert result.error.tolist() == pytest.approx([plain, (4 + 4) / 4, exact])
    assert result.plain == pytest.approx(plain)
    assert result.settings == ("similar:threshold=0.2", "similar", "exact")
    # One group has no standard error; the least error decides.
    assert (result.best, result.recommended, result.tied) == (0.9, "similar", None)
    assert result.curve().columns == [
        "value",
        "squared_error",
        "plain_error",
        "exact_error",
        "gain",
    ]
    assert result.curve()["exact_error"].to_list() == pytest.approx([exact] * 3)


def test_values_backed_up_count_the_plain_mean_as_one_more_step_by_hand():
    # V of a cluster is the mean reward of its other steps here. At .9, with n = 1 other step:
    # p (2 + 2/3)/2 = 4/3, p' (4 + 4/3)/2 = 8/3, q (0 + 2)/2 = 1.
    # With exact keys p and p' have no other step: 2/3 and 4/3.
    result = held(steps(TWO_CLUSTERS), NEAR, "crbc", [0.9, EXACT])
    merged = ((4 - 4 / 3) ** 2 + (2 - 8 / 3) ** 2 + 1 + 1) / 4
    exact = ((4 - 2 / 3) ** 2 + (2 - 4 / 3) ** 2 + 1 + 1) / 4
    assert result.error.tolist() == pytest.approx([merged, exact])
    assert result.recommended == "similar"


@pytest.mark.parametrize("truncated_as", ["failure", "exclude", "bootstrap"])
def test_values_are_those_of_the_method_without_the_trajectory(truncated_as: str):
    # `predicted` scores every trajectory in its group without counting it there.
    log = random_log(np.random.default_rng(3), rollouts=6, dense=True)
    last = pl.col("step_index") == pl.col("step_index").max().over("trajectory_id")
    cut = pl.col("trajectory_id").str.contains("[12]$")
    found = Steps.from_log(log.with_columns(truncated=last & cut))
    space = Space(found, embedder=random_vectors(found, 2))
    method = CRBC(state_key="similar:threshold=0.5", truncated_as=truncated_as)  # type: ignore[arg-type]
    one = predicted(method, method(found, space), space)
    tuned = KeyThreshold.of(method)
    target = tuned.target(found)
    ((_, said),) = tuned.held_out_baselines(found, space, target, np.ones(len(found)), [0.5])
    counts = np.ones(len(found))
    if truncated_as == "exclude":
        counts -= log.select(cut).to_series().to_numpy()
    state = space.state_key(method.state_key)
    visitor = state * found.trajectories + found.trajectory
    others = np.bincount(state, counts)[state] - np.bincount(visitor, counts)[visitor]
    known = one.chosen & (others > 0)
    plain = mean_of_others(found, target, np.ones(len(found)))
    expected = (others * one.baseline + plain) / (others + 1)
    assert known.sum() > 10
    assert said[known].tolist() == pytest.approx(expected[known].tolist())
    alone = one.chosen & (others == 0)
    assert said[alone].tolist() == pytest.approx(plain[alone].tolist())


def test_means_of_clusters_are_those_of_the_method_without_the_trajectory():
    found = Steps.from_log(random_log(np.random.default_rng(3), rollouts=5, dense=True))
    vectors = random_vectors(found, 2)
    space = Space(found, embedder=vectors)
    for threshold in (0.2, 0.7):
        method = create("gigpo", {"state_key": f"similar:threshold={threshold}"})
        one = predicted(method, method(found, space), space)
        error = ((one.score - one.baseline) ** 2)[one.chosen].mean()
        assert held(found, vectors, "gigpo", [threshold]).error == pytest.approx([error])


def worlds(good: float, jitter: float, words: int) -> tuple[Steps, Vectors]:
    """Twelve groups whose states are good or bad, at two angles, each told in many words.

    Args:
        good: Angle between good and bad states.
        jitter: Largest angle by which wordings of one state differ.
        words: How many wordings a state has in a group.
    """
    drawn = np.random.default_rng(5)
    vector: dict[str, tuple[float, float]] = {}
    groups = {}
    for group in range(12):
        members = {}
        for rollout in range(16):
            is_good = rollout % 2
            text = f"{group} {is_good} {drawn.integers(words)}"
            angle = good * is_good + drawn.uniform(-jitter, jitter)
            vector.setdefault(text, (math.cos(angle), math.sin(angle)))
            reward = is_good + drawn.normal(0, 0.3)
            members[f"g{group}/t{rollout}"] = [(text, "x", reward)]
        groups[f"g{group}"] = members
    return steps(groups), Vectors(vector)


@pytest.mark.parametrize("name", ["gigpo", "crbc"])
def test_paraphrases_are_merged_where_wordings_hide_equal_states(name: str):
    # Wordings of a state are at most .2 apart, states 1 − cos: a threshold from about cos(1.2) to
    # cos(.2) = .98 merges wordings alone, and nearly every wording occurs once.
    found, vectors = worlds(good=1.4, jitter=0.1, words=10_000)
    result = held(found, vectors, name)
    assert result.recommended is not None
    key: Any = parse_state_key(str(result.recommended))
    assert 0.3 < key.threshold <= 0.99
    assert result.error.min() < 0.6 * result.error[-1]
    assert "exact keys" in result.reason
    assert f"threshold {key.threshold:.4g}" in result.reason


@pytest.mark.parametrize("name", ["gigpo", "crbc"])
def test_exact_keys_are_kept_where_merging_mixes_good_and_bad(name: str):
    # Good and bad are .05 apart: cos .9988, above every threshold that is tried. Each has two
    # wordings, met by four rollouts each, so that exact keys have evidence.
    found, vectors = worlds(good=0.05, jitter=0.0, words=2)
    result = held(found, vectors, name)
    assert result.recommended == "exact"
    assert result.error[-1] < 0.6 * result.error[:-1].min()
    assert result.reason.startswith("No threshold predicts returns better than exact keys: squared")
    # Without exact keys among the values it is another threshold, so that the test can fail.
    assert held(found, vectors, name, THRESHOLDS).recommended != "exact"


def test_a_threshold_that_is_no_better_than_exact_keys_is_not_recommended():
    def result(as_good: list[bool], finest: str | None) -> HeldOut:
        return HeldOut(
            field="state_key",
            symbol="threshold",
            values=(0.5, 0.7, 0.9, 1.0),
            settings=("a", "b", "c", "exact"),
            error=np.array([1.3, 1.0, 1.1, 1.05]),
            plain=2.0,
            steps=9,
            groups=3,
            few=0,
            equal=0,
            as_good=np.array(as_good),
            finest=finest,
        )

    kept = result([False, True, False, True], "exact keys")
    assert kept.recommended == "exact"
    assert kept.reason == (
        "No threshold predicts returns better than exact keys by more than one standard error: "
        "squared error 1 at 0.7, 1.05 with exact keys."
    )
    best = replace(
        kept, error=np.array([1.3, 1.2, 1.1, 1.0]), as_good=np.array([False, False, False, True])
    )
    # 1 / 2 = .5.
    assert best.reason == (
        "No threshold predicts returns better than exact keys: squared error 1, 50 % below the "
        "plain mean."
    )
    # The finest clusters that are as good as the best: .9, not .7.
    assert result([False, True, True, False], "exact keys").recommended == "c"
    # 1.1 / 1.05 = 1.048, and 1.1 / 2 = .55.
    assert result([False, True, True, False], "exact keys").reason == (
        "threshold 0.9 predicts returns with squared error 1.1, 4.8 % above exact keys and 45 % "
        "below the plain mean; it is the highest within one standard error of the best (squared "
        "error 1 at 0.7)."
    )
    assert result([False, True, True, True], None).recommended == "b"


def test_exact_keys_are_the_fallback_where_nothing_predicts():
    # All texts are alike, and so is every threshold.
    found = steps(one_step(("p", 1.0), ("p", 0.0), ("p", 4.0)))
    result = held(found, NEAR, "gigpo")
    assert (result.best, result.recommended) == (None, "exact")
    assert "predicts alike, and so do exact keys" in result.reason
    # Two rollouts cannot be held out.
    few = held(steps(one_step(("p", 1.0), ("q", 0.0))), NEAR, "gigpo")
    assert few.recommended is None


def test_a_key_threshold_is_tuned_before_the_field_that_a_method_declares():
    def field(name: str, **fields: Any) -> str:
        return tuned_by(create(name, fields)).tunable

    assert field("proxmo") == "temperature"
    assert field("proxmo", peers="same_state", state_key="similar") == "state_key"
    assert field("crbc") == field("salt") == "state_key"
    with pytest.raises(ParameterError, match=r"history:length=2 has no threshold.*state_key=sim"):
        field("gigpo", state_key="history:length=2")
    with pytest.raises(ParameterError, match="grpo has no field"):
        field("grpo")
    assert {"gigpo", "graphgpo", "mc-q", "pgpo", "rtmc", "soft-crbc"} < set(tunable_methods())


def test_the_key_keeps_its_other_settings():
    tuned = tuned_by(create("gigpo", {"state_key": "similar:linkage=complete,threshold=0.4"}))
    assert isinstance(tuned, KeyThreshold)
    assert tuned.setting(0.6) == "similar:threshold=0.6,linkage=complete"
    assert tuned.setting(EXACT) == "exact"


def test_returns_are_discounted_as_the_method_does():
    def described(reward: float) -> Described:
        return {"g": {"t": [("p", "x", 0.0), ("p", "x", reward)]}}

    def first(name: str, **fields: Any) -> float:
        tuned = tuned_by(create(name, fields))
        return float(tuned.target(steps(described(8.0)))[0])

    # 8 one step on: λ .5 or γ .5 make 4 of it, and a success that pays 4 makes 1 of that.
    assert first("gigpo", gamma=0.5) == 4.0
    assert first("crbc", continuation=0.5) == 4.0
    assert first("crbc", continuation=0.5, reward_scale=4.0) == 1.0
    # What a method is made from discounts for it; gigpo's γ is .95.
    assert first("salt", of="gigpo") == pytest.approx(7.6)
    assert first("salt", of="grpo") == 8.0


@pytest.mark.parametrize(("error", "cautious"), [(0.995, True), (0.8, False)])
def test_a_threshold_that_is_next_to_the_plain_mean_is_recommended_with_caution(
    error: float, cautious: bool
):
    result = HeldOut(
        field="state_key",
        symbol="threshold",
        values=(0.2, 1.0),
        settings=("similar:threshold=0.2", "exact"),
        error=np.array([error, 1.2]),
        plain=1.0,
        steps=10,
        groups=3,
        few=0,
        equal=0,
        as_good=np.array([True, False]),
        finest="exact keys",
    )
    assert result.recommended == "similar:threshold=0.2"
    assert ("merged so far, states tell little" in result.reason) == cautious
