"""Methods that compare steps in the same state, worked by hand and reduced to each other."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, steps

from workbench.errors import ParameterError
from workbench.log.credit import Credit
from workbench.log.steps import Real, Steps
from workbench.methods import METHODS, create
from workbench.methods.anchor.ecpo import action_values
from workbench.parameters import fields
from workbench.states.space import Space


def fields_of(name: str) -> set[str]:
    return set(fields(METHODS[name].cls))


def credit(of: Steps, name: str, /, **params: object) -> Credit:
    return create(name, params)(of, Space(of, embedder="tfidf"))


def term(of: Steps, name: str, which: str, /, **params: object) -> Real:
    return credit(of, name, **params).terms[which].value


def advantage(of: Steps, name: str, /, **params: object) -> Real:
    return credit(of, name, **params).advantage


def one_step(*trajectories: tuple[str, str, float]) -> Steps:
    """One group of trajectories of one step each: observation, action, reward."""
    return steps({"g": {f"t{number}": [step] for number, step in enumerate(trajectories)}})


def seen(*trajectories: tuple[str, float]) -> Steps:
    """One group; each trajectory sees the letters of a text and is paid at its end."""
    return steps(
        {
            "g": {
                f"t{number}": [
                    (text, "act", reward * (place == len(texts) - 1))
                    for place, text in enumerate(texts)
                ]
                for number, (texts, reward) in enumerate(trajectories)
            }
        }
    )


# γ = 1/2: returns 1/2 1, 0 0, 0 0.
THREE = seen(("xy", 1.0), ("zy", 0.0), ("xy", 0.0))
HALF = {"gamma": 0.5, "norm": "mean"}


def test_hgpo_by_hand():
    # One state: x has the mean 1/4, z is alone, y has 1/3. Two: (x, y) has 1/2, (z, y) is alone.
    # Weights 2 and 3 where both tell: (2 · 2/3 + 3 · 1/2)/5 = 17/30, (-2 · 1/3 - 3 · 1/2)/5.
    found = advantage(THREE, "hgpo", history=1, **HALF)
    assert found == pytest.approx([1 / 4, 17 / 30, 0.0, -1 / 3, -1 / 4, -13 / 30])
    # Equal weights: (2/3 + 1/2)/2.
    assert advantage(THREE, "hgpo", history=1, length_alpha=0.0, **HALF)[1] == pytest.approx(7 / 12)
    # A third state before is never there, so K = 2 changes nothing.
    assert advantage(THREE, "hgpo", **HALF) == pytest.approx(found)
    assert advantage(THREE, "hgpo", history=1, step_weight=2.0, **HALF) == pytest.approx(2 * found)


def test_hgpo_divides_by_the_population_deviation():
    # x: 1/2 and 0, both a deviation of 1/4 from their mean. y: 1, 0, 0: sqrt(2)/3; 2/3 of it.
    found = advantage(THREE, "hgpo", history=0, gamma=0.5, eps=0.0)
    root = math.sqrt(2)
    assert found == pytest.approx([1.0, root, 0.0, -root / 2, -1.0, -root / 2])


def test_hgpo_with_the_episode_advantage_as_level_0():
    # E: 2/3, -1/3, -1/3 with the weight 1. First step: (1 · 2/3 + 2 · 1/4)/3; z has E alone.
    found = credit(THREE, "hgpo", base_group=True, history=0, **HALF)
    assert found.advantage[[0, 2]] == pytest.approx([7 / 18, -1 / 3])
    assert found.terms["episode"].value[0] == pytest.approx(2 / 9)


def test_a_step_that_is_just_average_keeps_its_level_unless_the_dialect_drops_it():
    # y: 1, 1/2, 0, 1/4, 3/4 have the mean 1/2, which is t1's; (z, y): 1/2 and 1/4.
    of = seen(("xy", 1.0), ("zy", 0.5), ("xy", 0.0), ("zy", 0.25), ("xy", 0.75))
    # Both levels: 3/5 of 1/8. The second alone: 1/8.
    assert advantage(of, "hgpo", history=1, **HALF)[3] == pytest.approx(3 / 40)
    dropped = advantage(of, "hgpo", history=1, levels="nonzero", **HALF)
    assert dropped[3] == pytest.approx(1 / 8)
    others = np.arange(len(of)) != 3
    assert advantage(of, "hgpo", history=1, **HALF)[others] == pytest.approx(dropped[others])


@settings(deadline=None, max_examples=40)
@given(described_logs(texts="abc"))
def test_hgpo_without_history_is_gigpos_step_term(described: Described):
    of = steps(described)
    for norm in ("mean", "std"):
        expected = term(of, "gigpo", "step", norm=norm)
        found = advantage(of, "hgpo", history=0, norm=norm, ddof=1)
        np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(described_logs(texts="abc"))
def test_hgpo_is_the_loop_over_levels(described: Described):
    of = steps(described)
    returns = create("hgpo").step_score(of)  # type: ignore[attr-defined]
    texts = of.column("observation").to_list()
    pasts = [
        [tuple(texts[step - back] for back in range(length)) for length in range(1, depth + 2)][:3]
        for step, depth in enumerate(of.step_index.tolist())
    ]
    expected = []
    for step, past in enumerate(pasts):
        levels = []
        for length, history in enumerate(past, start=1):
            same = [
                other
                for other, its in enumerate(pasts)
                if of.group[other] == of.group[step] and history in its
            ]
            values = returns[same]
            if np.ptp(values) > 1e-12:
                gap = (returns[step] - values.mean()) / (values.std() + 1e-6)
                levels.append((length + 1.0, gap))
        total = sum(weight for weight, _ in levels)
        expected.append(sum(weight * gap for weight, gap in levels) / total if levels else 0.0)
    np.testing.assert_allclose(advantage(of, "hgpo"), expected, atol=1e-9)


def test_gigpo_with_a_coarser_key_compares_more_steps():
    of = one_step(("Door 1", "x", 1.0), ("door 1", "x", 0.0), ("door 2", "x", 0.0))
    assert term(of, "gigpo", "step", norm="mean").tolist() == [0.0, 0.0, 0.0]
    found = term(of, "gigpo", "step", norm="mean", state_key="normalised")
    assert found == pytest.approx([0.5, -0.5, 0.0])
    found = term(of, "gigpo", "step", norm="mean", state_key="normalised:numbers=true")
    assert found == pytest.approx([2 / 3, -1 / 3, -1 / 3])


def test_gigpo_across_groups_compares_with_the_same_state_of_another_task():
    of = steps({"g": {"t": [("a", "x", 1.0)]}, "h": {"u": [("a", "x", 0.0)]}})
    assert term(of, "gigpo", "step", norm="mean").tolist() == [0.0, 0.0]
    found = credit(of, "gigpo", norm="mean", across_groups=True)
    assert found.terms["step"].value.tolist() == [0.5, -0.5]
    assert found.outputs["anchor_group"].tolist() == [0.0, 0.0]
    assert found.explain(0).peers["group_id"].to_list()[-2:] == ["g", "h"]


def test_proxmo_with_same_state_peers_takes_any_state_key():
    of = Steps.from_log(random_log(np.random.default_rng(0)))
    for key in ("history:length=2", "similar:threshold=0.4"):
        found = term(of, "proxmo", "step", peers="same_state", state_key=key)
        assert found.tolist() == term(of, "gigpo", "step", norm="mean", state_key=key).tolist()
    assert create("proxmo", {"state_key": "similar"}).needs() == ("similarity",)
    same = create("proxmo", {"peers": "same_state", "state_key": "similar"})
    assert same.needs() == ("keys", "similarity")
    assert create("gigpo").needs() == ("keys",)


@pytest.mark.parametrize("name", [name for name in METHODS if "state_key" in fields_of(name)])
def test_what_a_state_key_needs_is_needed_by_every_method_that_takes_it(name: str):
    params = {"state_key": "similar:threshold=0.5"}
    assert "similarity" in create(name, params).needs()


def test_ecpo_by_hand():
    # κ = 2, mean 2/3. u: 1, 1: (2 + 4/3)/4 = 5/6; v: 0: (0 + 4/3)/3 = 4/9.
    of = one_step(("s", "u", 1.0), ("s", "u", 1.0), ("s", "v", 0.0))
    # Over steps: mean 19/27, deviations 7, 7, -14 in 54ths, sum of squares 294: std sqrt(147)/54.
    # B = 2/9 and W = 0, so the gate is tanh(3/4).
    z = np.array([7, 7, -14]) / math.sqrt(147)
    gate = math.tanh(3 / 4)
    assert term(of, "ecpo", "step", eps=0.0) == pytest.approx(gate * z)
    assert credit(of, "ecpo").terms["step"].score == pytest.approx([5 / 6, 5 / 6, 4 / 9])
    # Without a prior the means themselves.
    assert credit(of, "ecpo", kappa=0.0).terms["step"].score == pytest.approx([1.0, 1.0, 0.0])
    # Over the two actions: ±1/sqrt(2), whatever κ.
    found = term(of, "ecpo", "step", eps=0.0, over="actions")
    assert found == pytest.approx(gate * np.array([1, 1, -1]) / math.sqrt(2))
    assert term(of, "ecpo", "episode").tolist() == advantage(of, "grpo").tolist()


def test_the_gate_is_the_share_of_variance_between_actions_times_evidence():
    # u: 1, 0; v: 0. Mean 1/3: B = (2/36 + 4/36)/3 = 1/18, W = 1/6: a quarter.
    of = one_step(("s", "u", 1.0), ("s", "u", 0.0), ("s", "v", 0.0))
    facts = credit(of, "ecpo", eps=0.0).explain(0).facts["step"]
    assert facts["reliability"] == pytest.approx(math.tanh(3 / 4) / 4)
    assert facts["action_mean"] == 0.5
    assert facts["action_visits"] == 2.0


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="ab"))
def test_variances_between_and_within_actions_are_the_variance_of_the_state(described: Described):
    of = steps(described)
    space, ones = Space(of, embedder="tfidf"), np.ones(len(of))
    state = space.state_key()
    found = action_values(of, state, space.action_key(), of.reward, ones)
    for label in np.unique(state):
        here = state == label
        total = found.between[here] + found.within[here]
        np.testing.assert_allclose(total, of.reward[here].var(), atol=1e-12)


def test_where_one_action_was_tried_or_all_are_worth_the_same_ecpo_says_nothing():
    one = one_step(("s", "u", 1.0), ("s", "u", 0.0))
    assert term(one, "ecpo", "step").tolist() == [0.0, 0.0]
    # 0.15 and the mean of 0.1 and 0.2 differ in the last bit.
    same = one_step(("s", "u", 0.1), ("s", "u", 0.2), ("s", "v", 0.15))
    assert (0.1 + 0.2) / 2 != 0.15
    assert term(same, "ecpo", "step").tolist() == [0.0, 0.0, 0.0]
    assert term(same, "ecpo-gate", "step").tolist() == [0.0, 0.0, 0.0]


def test_the_gate_goes_around_the_step_terms_of_any_credit():
    of = Steps.from_log(random_log(np.random.default_rng(3), texts=2))
    for name in ("gigpo", "proxmo", "bipace-q"):
        plain, gated = credit(of, name), credit(of, "ecpo-gate", of=name)
        assert gated.terms["episode"].value.tolist() == plain.terms["episode"].value.tolist()
        gate = [gated.explain(step).facts["step"]["reliability"] for step in range(len(of))]
        np.testing.assert_allclose(gated.terms["step"].value, gate * plain.terms["step"].value)
    assert 0.0 < max(gate) < 1.0
    assert advantage(of, "ecpo-gate", of="grpo").tolist() == advantage(of, "grpo").tolist()
    with pytest.raises(ParameterError, match="of: unknown method 'gipgo'"):
        create("ecpo-gate", {"of": "gipgo"})


SHARED: Described = {
    "g": {
        "t0": [("x", "go", 0.0), ("y", "up", 1.0)],
        "t1": [("x", "go", 0.0), ("y", "down", 0.0)],
        "t2": [("x", "stay", 0.0)],
    }
}


def test_salt_by_hand():
    # RLOO: 1, -1/2, -1/2. Going from x to y is shared by t0 and t1: 1/4 each.
    found = credit(steps(SHARED), "salt", of="rloo", history=1)
    assert found.advantage == pytest.approx([0.25, 1.0, 0.25, -0.5, -0.5])
    assert found.outputs["edge_size"].tolist() == [2.0, 1.0, 2.0, 1.0, 1.0]
    # What the other credit says of itself stays in the table.
    assert "step_score" in credit(steps(SHARED), "salt", of="gigpo").table().columns
    # The pasts are cut off alike at the start.
    assert advantage(steps(SHARED), "salt", of="rloo") == pytest.approx(found.advantage)


def test_salt_tells_edges_apart_by_what_came_before_and_comes_next():
    described: Described = {
        "g": {
            "t0": [("a", "go", 0.0), ("y", "up", 0.0), ("z", "stop", 1.0)],
            "t1": [("b", "go", 0.0), ("y", "up", 0.0), ("z", "stop", 0.0)],
            "t2": [("a", "go", 0.0), ("y", "up", 0.0), ("w", "stop", 0.0)],
        }
    }
    # One pair: t0 and t1 share y to z and the stop at z; t0 and t2 share a to y.
    found = credit(steps(described), "salt", of="rloo", history=1)
    assert found.outputs["edge_size"].tolist() == [2, 2, 2, 1, 2, 2, 2, 1, 1]
    # Two: only the steps that nothing came before.
    found = credit(steps(described), "salt", of="rloo", history=2)
    assert found.outputs["edge_size"].tolist() == [2, 1, 2, 1, 1, 2, 2, 1, 1]


def test_salt_where_nothing_is_shared_is_the_credit_it_takes():
    of = seen(("abc", 1.0), ("def", 0.0), ("ghi", 0.0))
    for name in ("grpo", "rloo"):
        assert advantage(of, "salt", of=name).tolist() == advantage(of, name).tolist()


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="ab"))
def test_salt_moves_credit_and_makes_none(described: Described):
    of = steps(described)
    totals = [advantage(of, name).sum() for name in ("salt", "grpo")]
    assert totals[0] == pytest.approx(totals[1], abs=1e-9)


EXACT = {"state_key": "exact"}


def test_bipace_q_by_hand():
    # x: go 1 and 0, mean 1/2; stay 0; all 1/3. y is alone: 1 less the mean of the others.
    of = one_step(("x", "go", 1.0), ("x", "go", 0.0), ("x", "stay", 0.0), ("y", "go", 1.0))
    found = term(of, "bipace-q", "step", **EXACT)
    assert found == pytest.approx([1 / 6, 1 / 6, -1 / 3, 2 / 3])
    zero = term(of, "bipace-q", "step", without_peer="zero", **EXACT)
    assert zero == pytest.approx([1 / 6, 1 / 6, -1 / 3, 0.0])
    assert term(of, "bipace-q", "step", step_weight=2.0, **EXACT) == pytest.approx(2 * found)
    facts = [credit(of, "bipace-q", **EXACT).explain(step).facts["step"] for step in (0, 3)]
    assert [fact["has_peers"] for fact in facts] == [True, False]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-10, 10), min_size=2, max_size=6))
def test_bipace_q_without_peers_is_grpo_plus_rloo(rewards: list[float]):
    of = one_step(*((f"state {k}", "go", reward) for k, reward in enumerate(rewards)))
    both = advantage(of, "grpo") + advantage(of, "rloo")
    np.testing.assert_allclose(advantage(of, "bipace-q", **EXACT), both, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="abc"))
def test_bipace_q_where_no_action_repeats_is_gigpos_step_term(described: Described):
    size = len(steps(described))
    of = steps(described, action=[f"act {step}" for step in range(size)])
    expected = term(of, "gigpo", "step", norm="mean")
    found = term(of, "bipace-q", "step", without_peer="zero", **EXACT)
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_bipace_q_where_one_action_is_all_there_is_says_nothing_of_it():
    of = seen(("aab", 1.0), ("abb", 0.0))
    assert term(of, "bipace-q", "step", without_peer="zero", **EXACT).tolist() == [0.0] * 6


def test_the_step_with_self_included_is_that_with_self_left_out_shrunk_by_its_own_weight():
    # Texts that are all different and γ = 0, so that nothing else is in it.
    of = Steps.from_log(random_log(np.random.default_rng(5), texts=12, dense=True))
    included = credit(of, "proxmo", temperature=0.2)
    left_out = term(of, "proxmo", "step", temperature=0.2, peers="other_steps")
    own = [included.explain(step).facts["step"]["self_weight"] for step in range(len(of))]
    np.testing.assert_allclose(included.terms["step"].value, (1 - np.array(own)) * left_out)


ANY_STATE_KEY = ("gigpo", "hgpo", "ecpo", "ecpo-gate", "salt", "bipace-q")


@pytest.mark.parametrize("key", ["similar:threshold=0.5", "history", "alfworld", "tool", "code"])
@pytest.mark.parametrize("name", ANY_STATE_KEY)
def test_every_anchor_method_takes_every_state_key(name: str, key: str):
    of = Steps.from_log(random_log(np.random.default_rng(6)))
    found = credit(of, name, state_key=key)
    assert np.isfinite(found.advantage).all()
    with pytest.raises(ParameterError, match="state_key: unknown state key 'exakt'"):
        create(name, {"state_key": "exakt"})
