"""Soft CRBC by hand, as CRBC on exact keys, and with rollouts held out."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import advantage, credit
from logs import Described, random_log, steps
from narrow import number
from transition_graphs import graph_of
from worked_logs import HALL

from workbench.analysis.prediction import predicted
from workbench.analysis.tuning.held_out import held_out
from workbench.log.segments import discounted_returns
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.methods.backup.soft_crbc import SoftCRBC
from workbench.methods.parts.kernel import near_weights
from workbench.states.space import Space


def test_soft_crbc_by_hand():
    # As HALL, but a waits in the doorway. No word is shared: similarity 1 or 0. At 25/7 neighbours
    # the door counts 1/3 in the hall, the hall 1/2 at the door (see test_kernel).
    # λ 1, ρ 0. G: V(door), 1, V(hall), 0. V(h) = (d + h + 0 + 1/3)/(10/3): 7 h = 3 d + 1.
    # V(d) = (1 + (d + h + 0)/2)/(5/2): 4 d = 2 + h. So d = 3/5, h = 2/5.
    of = steps({"g": {**HALL["g"], "a": [("hall", "open", 0.0), ("door", "wait", 1.0)]}})
    fields = {"neighbours": 25 / 7, "continuation": 1.0, "trace": 0.0}
    found = credit(of, "soft-crbc", **fields).terms["step"]
    assert found.baseline == pytest.approx([2 / 5, 3 / 5, 2 / 5, 2 / 5])
    # G − V of its own state: 1/5, 2/5, 0, −2/5. Waiting in the hall: (0 − 2/5 + 1/3 · 2/5)/(7/3);
    # at the door: (2/5 + (0 − 2/5)/2)/2. c is 1: divided by n + 1 instead of n.
    gaps = np.array([1 / 5, 1 / 10, -4 / 35, -4 / 35])
    assert found.score - found.baseline == pytest.approx(gaps)
    assert [found.facts(step)["evidence"] for step in range(4)] == pytest.approx(
        [1, 2, 7 / 3, 7 / 3]
    )
    assert found.value == pytest.approx([1 / 10, 1 / 15, -2 / 25, -2 / 25])
    # In the hall .3 of what is near opens and .7 waits: σ² = .3 · (1/5)² + .7 · (4/35)².
    sigma = np.sqrt(0.3 / 25 + 0.7 * 16 / 1225)
    assert found.facts(0)["state_std"] == pytest.approx(sigma)
    scaled = credit(of, "soft-crbc", **fields, step_norm="std").terms["step"]
    assert scaled.value[0] == pytest.approx(1 / 10 / sigma)


def test_soft_crbc_with_a_full_trace_is_a_near_mean_of_returns():
    # ρ 1 leaves no value in the outcomes: V is a weighted mean of λ-discounted returns.
    of = Steps.from_log(random_log(np.random.default_rng(5), groups=1, rollouts=6))
    soft = credit(of, "soft-crbc", trace=1.0, continuation=0.9, neighbours=4.0).terms["step"]
    similarity = Space(of, embedder="tfidf").similarity()
    state = similarity.states.state
    visits = np.bincount(state).astype(float)
    weight = near_weights(similarity.block(0), visits, 4.0)
    returns = np.bincount(state, weights=discounted_returns(of.reward, of.step_index, 0.9))
    assert soft.baseline == pytest.approx((weight @ returns / (weight @ visits))[state])


def test_soft_crbc_says_nothing_of_an_action_that_no_near_step_took():
    # b counts nowhere, and alone leaps.
    rollouts: Described = {"g": {"a": [("x", "go", 1.0)], "b": [("x", "leap", 0.0)]}}
    found = credit(
        steps(rollouts, in_group_statistics=[True, False]), "soft-crbc", prior=0.0
    ).terms["step"]
    assert found.value.tolist() == [0.0, 0.0]
    assert found.facts(1)["evidence"] == 0.0


@pytest.mark.parametrize("truncated_as", ["failure", "bootstrap", "exclude"])
@pytest.mark.parametrize("seed", range(3))
def test_soft_crbc_on_exact_keys_is_crbc(seed: int, truncated_as: str):
    log = random_log(np.random.default_rng(seed), rollouts=6, texts=4)
    # Texts without a common word, so that their similarity is 0.
    words = {f"state {number}": word for number, word in enumerate(["hall", "door", "sink", "mug"])}
    last = pl.col("step_index").shift(-1).fill_null(0) == 0
    log = log.with_columns(
        observation=pl.col("observation").replace(words),
        truncated=last & (pl.int_range(pl.len()) % 3 == 0),
    )
    of = Steps.from_log(log)
    how = {"truncated_as": truncated_as, "continuation": 0.9}
    soft = advantage(
        of,
        "soft-crbc",
        neighbours=1.0,
        trace=0.0,
        prior=0.0,
        episode_weight=1.0,
        step_weight=5.0,
        step_norm="std",
        **how,
    )
    # Steps of a trajectory that is no evidence may be in states of which nothing is known.
    known = graph_of(of, truncated_as=truncated_as)
    sure = known.pair_visits[known.pair] > 0
    assert sure.any()
    assert soft[sure] == pytest.approx(advantage(of, "crbc", **how)[sure], abs=1e-8)


def test_soft_crbc_values_a_state_without_evidence_by_the_nearest_one():
    # With one neighbour a state listens to its own steps alone. c is outside the statistics and its
    # text nearer to a's, whose return it is expected to have.
    rollouts: Described = {
        "g": {
            "a": [("a red door", "go", 1.0)],
            "b": [("one green lamp", "go", 0.0)],
            "c": [("a red gate", "go", 0.0)],
        }
    }
    of = steps(rollouts, in_group_statistics=[True, True, False])
    found = credit(of, "soft-crbc", neighbours=1.0)
    assert found.terms["step"].baseline == pytest.approx([1.0, 0.0, 1.0])
    method, space = SoftCRBC(), Space(of, embedder="tfidf")
    ((_, held),) = method.held_out_baselines(of, space, method.target(of), np.ones(3), [1.0])
    assert held == pytest.approx([0.0, 1.0, 1.0])


def test_soft_crbc_holds_out_a_rollout_as_if_it_counted_nowhere():
    of = Steps.from_log(random_log(np.random.default_rng(6), groups=2, rollouts=5))
    method, space = SoftCRBC(), Space(of, embedder="tfidf")
    target, even = method.target(of), np.ones(len(of))
    values = [1.0, 4.0]
    for k, found in method.held_out_baselines(of, space, target, even, values):
        other = create("soft-crbc", {"neighbours": values[k]})
        slow = predicted(other, other(of, space), space)
        assert slow.chosen.all()
        assert found == pytest.approx(slow.baseline, abs=1e-9)


def test_held_out_rollouts_choose_few_neighbours_where_texts_matter():
    # Near states share a word and what comes of them; far ones share nothing.
    described = {
        f"g{group}": {
            f"g{group}/t{rollout}": [
                (f"{place} {shade}", "act", float("harbour" in place))
                for shade in [["red", "blue", "grey"][(group + rollout) % 3]]
                for place in [["harbour quay boat", "quarry stone dust"][rollout % 2]]
            ]
            for rollout in range(6)
        }
        for group in range(4)
    }
    of = steps(described)
    space = Space(of, embedder="tfidf")
    method = create("soft-crbc")
    found = held_out(method, method(of, space), space)
    assert number(found.recommended) <= 2.0
    assert found.error.min() < 0.1 * found.plain
