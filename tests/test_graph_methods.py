"""Methods on the graph of a group's transitions, worked by hand and reduced to simpler ones."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, steps

from workbench.analysis.prediction import predicted
from workbench.analysis.tuning.held_out import held_out
from workbench.errors import ParameterError
from workbench.log.segments import discounted_returns
from workbench.log.steps import Real, Steps
from workbench.methods import create
from workbench.methods.parts.kernel import near_weights
from workbench.methods.parts.transitions import END, transitions
from workbench.states.space import Space

# Two rollouts meet in the hall. One opens the door and wins, one waits and comes back to lose.
#   a: hall --open--> door --go--> success           b: hall --wait--> hall --wait--> failure
HALL: Described = {
    "g": {
        "a": [("hall", "open", 0.0), ("door", "go", 1.0)],
        "b": [("hall", "wait", 0.0), ("hall", "wait", 0.0)],
    }
}


def credit(name: str, of: Steps, /, **params: object):
    return create(name, params)(of, Space(of, embedder="tfidf"))


def advantage(name: str, of: Steps, /, **params: object) -> Real:
    return credit(name, of, **params).advantage


def term(name: str, which: str, of: Steps, /, **params: object) -> Real:
    return credit(name, of, **params).terms[which].value


def graph_of(of: Steps, **params):
    space = Space(of, embedder="tfidf")
    return transitions(of, space.state_key(), space.action_key(), reward=of.reward, **params)


def test_transitions_lead_to_the_state_of_the_next_step_or_to_the_end():
    # hall 0, door 1; pairs hall/open, door/go, hall/wait.
    graph = graph_of(steps(HALL))
    assert graph.state.tolist() == [0, 1, 0, 0]
    assert graph.next_state.tolist() == [1, END, 0, END]
    assert graph.visits.tolist() == [3.0, 1.0]
    assert graph.actions.tolist() == [2, 1]
    assert len(set(graph.pair.tolist())) == 3


def test_values_solve_the_closure():
    # λ ½: V(door) = 1. V(hall) = (½ V(door) + ½ V(hall) + 0) / 3 = (½ + ½ V) / 3, so V = ½ / 2.5.
    assert graph_of(steps(HALL)).values(0.5) == pytest.approx([0.2, 1.0])


@given(described_logs(max_rollouts=5, max_length=5), st.sampled_from([0.0, 0.5, 0.98, 1.0]))
@settings(max_examples=60)
def test_solved_values_are_a_fixed_point_that_repeated_backups_approach(described, discount):
    graph = graph_of(steps(described))
    value = graph.values(discount)
    again = graph.state_mean(graph.outcome(value, discount))
    assert again == pytest.approx(value, abs=1e-9)
    backed = graph.values_to_depth(discount, graph.reward, depth=3000 if discount < 1 else 0)
    if discount < 1:
        assert backed == pytest.approx(value, abs=1e-9)


def test_mc_q_compares_the_mean_return_of_an_action_with_its_state():
    # γ ½: G = ½, 1, 0, 0. Hall: V = 1/6, Q(open) = ½, Q(wait) = 0. Door: one action.
    found = advantage("mc-q", steps(HALL), gamma=0.5)
    assert found == pytest.approx([1 / 3, 0.0, -1 / 6, -1 / 6])


def test_mc_q_leaves_rare_states_alone():
    assert advantage("mc-q", steps(HALL), gamma=0.5, minimum_visits=4) == pytest.approx([0.0] * 4)


def test_crbc_divides_the_gap_by_the_deviation_of_the_state():
    # Q(open) = ½·1 = .5, Q(wait) = (½·.2 + 0)/2 = .05, V(hall) = .2.
    # σ = sqrt((.3² + 2·.15²)/3) = sqrt(.045) = .2121…
    found = term("crbc", "step", steps(HALL), continuation=0.5, step_weight=1.0)
    sigma = np.sqrt(0.045)
    assert found == pytest.approx([0.3 / sigma, 0.0, -0.15 / sigma, -0.15 / sigma])


def test_crbc_divides_by_a_tenth_at_least():
    # Rewards a tenth: the gaps are .03 and -.015, their deviation .0212 < .1.
    small = steps(HALL, reward=[0.0, 0.1, 0.0, 0.0])
    found = term("crbc", "step", small, continuation=0.5, step_weight=1.0)
    assert found == pytest.approx([0.3, 0.0, -0.15, -0.15])


def test_crbc_weighs_grpo_and_the_step_term():
    # GRPO: rewards 1 and 0, mean ½, deviation √½: ±.7071.
    found = credit("crbc", steps(HALL), episode_weight=2.0, eps=0.0)
    assert found.terms["episode"].value == pytest.approx([2**0.5, 2**0.5, -(2**0.5), -(2**0.5)])


@given(described_logs(), st.sampled_from([0.5, 0.9, 1.0]))
@settings(max_examples=60)
def test_crbc_at_depth_0_is_the_monte_carlo_gap(described, discount):
    of = steps(described)
    shallow = advantage(
        "crbc",
        of,
        depth=0,
        continuation=discount,
        episode_weight=0.0,
        step_weight=1.0,
        step_norm="none",
    )
    assert shallow == pytest.approx(advantage("mc-q", of, gamma=discount), abs=1e-9)


def test_crbc_at_a_great_depth_is_the_closure():
    of = Steps.from_log(random_log(np.random.default_rng(3), rollouts=6))
    deep = advantage("crbc", of, depth=2000)
    assert deep == pytest.approx(advantage("crbc", of), abs=1e-9)
    assert advantage("crbc", of, depth=1) != pytest.approx(deep, abs=1e-3)


def test_a_truncated_rollout_is_a_failure_or_stays_where_it_was_or_is_no_evidence():
    cut = steps(HALL, truncated=[False, False, False, True])
    # failure: as before. bootstrap: V = (½ + ½V + ½V)/3, so V = ¼. exclude: V = ½ V(door) = ½.
    assert graph_of(cut).values(0.5)[0] == pytest.approx(0.2)
    assert graph_of(cut, truncated_as="bootstrap").values(0.5)[0] == pytest.approx(0.25)
    assert graph_of(cut, truncated_as="exclude").values(0.5)[0] == pytest.approx(0.5)
    for how, expected in (("failure", 0.2), ("bootstrap", 0.25), ("exclude", 0.5)):
        found = credit("crbc", cut, truncated_as=how, continuation=0.5).terms["step"]
        assert found.baseline[0] == pytest.approx(expected)


def test_staying_for_ever_needs_a_discount():
    with pytest.raises(ParameterError, match="truncated_as=bootstrap needs a continuation below 1"):
        create("crbc", {"truncated_as": "bootstrap", "continuation": 1.0})


def test_gagpo_adds_up_differences():
    # γ ½: V(hall) = (½ + 0 + 0)/3 = 1/6, V(door) = 1.
    # a: δ = ½·1 − 1/6 = 1/3, then 1 − 1 = 0.   b: δ = ½/6 − 1/6 = −1/12, then −1/6.
    # λ ½, γλ ¼: A = 1/3, 0, −1/12 − 1/24 = −1/8, −1/6.
    found = advantage("gagpo", steps(HALL), gamma=0.5, trace=0.5, norm="none")
    assert found == pytest.approx([1 / 3, 0.0, -1 / 8, -1 / 6])


def test_gagpo_standardises_over_the_steps_of_the_group():
    raw = advantage("gagpo", steps(HALL), norm="none")
    found = advantage("gagpo", steps(HALL), eps=0.0)
    assert found == pytest.approx((raw - raw.mean()) / raw.std(ddof=1))


@given(described_logs(max_length=5))
@settings(max_examples=60)
def test_gagpo_with_a_full_trace_is_the_return_against_its_state(described):
    # Σ γ^k δ telescopes to G − V̂(s).
    of = steps(described)
    found = credit("gagpo", of, trace=1.0, norm="none").terms["step"]
    step = credit("gigpo", of, norm="mean").terms["step"]
    assert found.value == pytest.approx(step.value, abs=1e-9)


def test_pgpo_adds_progress_where_the_group_fails():
    # γ 1: G = 1 1 0 0; Φ(hall) = 1/3, Φ(door) = 1. δ = 2/3, 0, 0, −1/3 (last: r − Φ).
    # Hall: mean of δ 1/9; p = ½, so β(1 − p)² = ¼. Returns: 1 − 1/3, 0 − 1/3.
    found = credit("pgpo", steps(HALL), gamma=1.0, norm="mean")
    assert found.terms["return"].value == pytest.approx([2 / 3, 0.0, -1 / 3, -1 / 3])
    expected = [(2 / 3 - 1 / 9) / 4, 0.0, -1 / 9 / 4, (-1 / 3 - 1 / 9) / 4]
    assert found.terms["progress"].value == pytest.approx(expected)


def test_rtmc_smooths_first_visits_towards_the_group():
    # γ 1: G = 1 1 0 0, ḡ = ½. First visits of hall: a's and b's first step, mean of 1 and 0.
    # n₀ 2: V′(hall) = (1 + 2·½)/(2 + 2) = ½, V′(door) = (1 + 1)/(1 + 2) = 2/3.
    found = advantage("rtmc", steps(HALL), gamma=1.0, prior=2.0)
    assert found == pytest.approx([0.5, 1 / 3, -0.5, -0.5])


@given(described_logs(max_length=1, max_rollouts=6))
@settings(max_examples=40)
def test_rtmc_without_a_prior_on_single_steps_is_mc_q(described):
    of = steps(described)
    assert advantage("rtmc", of, prior=0.0) == pytest.approx(advantage("mc-q", of), abs=1e-9)


def test_rewardflow_credits_what_a_step_does_to_the_best_outcome_in_reach():
    # γ ½: V(door) = ½·1 (an end is a step away), V(hall) = ½·½ = ¼.
    # x: ½ − ¼, 1 − ½, ¼ − ¼, 0 − ¼. Hall: mean of ¼, 0, −¼ is 0.
    found = credit("rewardflow", steps(HALL), gamma=0.5)
    assert found.terms["step"].value == pytest.approx([0.25, 0.0, 0.0, -0.25])
    assert found.terms["episode"].value == pytest.approx([0.5, 0.5, -0.5, -0.5])


def test_graphgpo_counts_hops_to_a_success():
    # door is 1 hop away, hall 2; b's end is out of reach: 3. Progress γ ½: a: ½^(1−2+1) = 1;
    # b: ½^(2−2+1) = ½, then ½^(3−2+1) = ¼. Mean 7/12, deviation sqrt(Σ(x − 7/12)²/2).
    found = credit("graphgpo", steps(HALL), gamma=0.5, eps=0.0).terms["step"]
    paths = np.array([1.0, 0.5, 0.25])
    z = (paths - paths.mean()) / paths.std(ddof=1)
    assert found.value == pytest.approx([z[0], 0.0, z[1], z[2]])
    assert found.facts(0)["hops_before"] == 2.0
    assert found.facts(3)["hops_after"] == 3.0


@pytest.mark.parametrize("gamma", [0.0, 0.1])
def test_graphgpo_gains_one_hop_at_most_outside_the_statistics_too(gamma: float):
    # b counts nowhere, so x is three hops away by a's way; b's leap gains a hop, x = γ^0, not γ^-2.
    way = [("x", "go", 0.0), ("y", "go", 0.0), ("z", "go", 1.0)]
    rollouts: Described = {"g": {"a": way, "b": [("x", "leap", 1.0)], "c": [("x", "stay", 0.0)]}}
    found = credit(
        "graphgpo",
        steps(rollouts, in_group_statistics=[True, True, True, False, True]),
        gamma=gamma,
    )
    assert found.outputs["path_reward"] == pytest.approx([1.0, 1.0, 1.0, 1.0, gamma**2])


def test_graphgpo_without_a_success_has_no_step_term():
    lost = steps(HALL, reward=0.0)
    assert (term("graphgpo", "step", lost) == 0.0).all()


def test_g2po_compares_the_next_value_in_the_state_and_its_gain_in_the_group():
    # γ ½, exponent = steps left: V(hall) = (¼ + 0 + 0)/3 = 1/12, V(door) = ½; ends 1 and 0.
    # next: ½, 1, 1/12, 0. Hall: mean 7/36. gain: 5/12, ½, 0, −1/12; mean 5/24.
    found = credit("g2po", steps(HALL), gamma=0.5, norm="mean")
    assert found.terms["next"].value == pytest.approx([0.5 - 7 / 36, 0, 1 / 12 - 7 / 36, -7 / 36])
    gain = np.array([5 / 12, 1 / 2, 0.0, -1 / 12])
    assert found.terms["gain"].value == pytest.approx(gain - 5 / 24)


def test_soft_crbc_by_hand():
    # As HALL, but a waits in the doorway. No word is shared: similarity 1 or 0. At 25/7 neighbours
    # the door counts 1/3 in the hall, the hall 1/2 at the door (see test_kernel).
    # λ 1, ρ 0. G: V(door), 1, V(hall), 0. V(h) = (d + h + 0 + 1/3)/(10/3): 7 h = 3 d + 1.
    # V(d) = (1 + (d + h + 0)/2)/(5/2): 4 d = 2 + h. So d = 3/5, h = 2/5.
    of = steps({"g": {**HALL["g"], "a": [("hall", "open", 0.0), ("door", "wait", 1.0)]}})
    fields = {"neighbours": 25 / 7, "continuation": 1.0, "trace": 0.0}
    found = credit("soft-crbc", of, **fields).terms["step"]
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
    scaled = credit("soft-crbc", of, **fields, step_norm="std").terms["step"]
    assert scaled.value[0] == pytest.approx(1 / 10 / sigma)


def test_soft_crbc_with_a_full_trace_is_a_near_mean_of_returns():
    # ρ 1 leaves no value in the outcomes: V is a weighted mean of λ-discounted returns.
    of = Steps.from_log(random_log(np.random.default_rng(5), groups=1, rollouts=6))
    soft = credit("soft-crbc", of, trace=1.0, continuation=0.9, neighbours=4.0).terms["step"]
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
        "soft-crbc", steps(rollouts, in_group_statistics=[True, False]), prior=0.0
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
        "soft-crbc",
        of,
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
    assert soft[sure] == pytest.approx(advantage("crbc", of, **how)[sure], abs=1e-8)


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
    found = credit("soft-crbc", of, neighbours=1.0)
    assert found.terms["step"].baseline == pytest.approx([1.0, 0.0, 1.0])
    method, space = create("soft-crbc"), Space(of, embedder="tfidf")
    ((_, held),) = method.held_out_baselines(of, space, method.target(of), np.ones(3), [1.0])
    assert held == pytest.approx([0.0, 1.0, 1.0])


def test_soft_crbc_holds_out_a_rollout_as_if_it_counted_nowhere():
    of = Steps.from_log(random_log(np.random.default_rng(6), groups=2, rollouts=5))
    method, space = create("soft-crbc"), Space(of, embedder="tfidf")
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
    assert found.recommended is not None
    assert found.recommended <= 2.0
    assert found.error.min() < 0.1 * found.plain


@pytest.mark.parametrize(
    "name",
    ["mc-q", "gagpo", "pgpo", "rtmc", "rewardflow", "graphgpo", "g2po", "crbc", "soft-crbc"],
)
def test_a_group_whose_rollouts_all_fail_gets_nothing(name: str):
    of = Steps.from_log(random_log(np.random.default_rng(4), rollouts=5))
    lost = Steps.from_log(of.log.with_columns(reward=pl.lit(0.0)))
    assert (advantage(name, lost) == 0.0).all()
    assert not (advantage(name, of) == 0.0).all()
