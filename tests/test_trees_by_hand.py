"""The methods of agents, trees, replays and turns, worked by hand and reduced to simpler ones."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from logs import Described, described_logs, log

from workbench.errors import MissingInputError, ParameterError
from workbench.log.credit import Credit
from workbench.log.nodes import with_prefix_nodes
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space

# A planner's two plans; the first is followed by two answers, of which one is right.
PLANS: Described = {
    "g": {
        "a": [("task", "plan 1", 0.0), ("plan 1", "right", 1.0)],
        "b": [("task", "plan 1", 0.0), ("plan 1", "wrong", 0.0)],
        "c": [("task", "plan 2", 0.0), ("plan 2", "wrong", 0.0)],
    }
}
ROLES = ["planner", "solver"] * 3


def plans(**columns: object) -> pl.DataFrame:
    return with_prefix_nodes(log(PLANS, role=ROLES, **columns))


def credit(frame: pl.DataFrame, name: str, **params: object) -> Credit:
    steps = Steps.from_log(frame)
    return create(name, params)(steps, Space(steps, embedder="tfidf"))


def advantage(frame: pl.DataFrame, name: str, **params: object) -> list[float]:
    return credit(frame, name, **params).advantage.tolist()


def near(*numbers: float) -> object:
    return pytest.approx(list(numbers), abs=1e-12)


def test_dr_mas_measures_an_agent_by_the_rollouts_that_it_acts_in():
    # The solver acts in a and b only: rewards 1, 0, mean 1/2, deviation sqrt(1/2). The planner acts
    # in all three: rewards 1, 0, 0, mean 1/3, deviation sqrt(1/3).
    agents = ["planner", "solver", "planner", "solver", "planner", "planner"]
    found = advantage(log(PLANS, agent_id=agents), "dr-mas", eps=0.0)
    planner, solver = math.sqrt(3), math.sqrt(2)
    expected = [2 / 3 * planner, 0.5 * solver, -planner / 3, -0.5 * solver]
    assert found == near(*expected, -planner / 3, -planner / 3)


def test_dr_mas_over_steps_counts_a_rollout_as_often_as_the_agent_acts():
    # The planner's rows: 1, 0, 0, 0 with mean 1/4.
    agents = ["planner", "solver", "planner", "solver", "planner", "planner"]
    found = advantage(log(PLANS, agent_id=agents), "dr-mas", population="steps", norm="mean")
    assert found == near(0.75, 0.5, -0.25, -0.5, -0.25, -0.25)


@given(described_logs())
def test_dr_mas_with_one_agent_is_grpo(described: Described):
    frame = log(described, agent_id="only")
    assert advantage(frame, "dr-mas") == near(*advantage(frame, "grpo"))


def test_treemem_compares_plans_with_plans_and_answers_with_answers():
    # Plans: (1 + 0)/2 and 0, mean 1/4. Answers: 1, 0, 0, mean 1/3.
    found = advantage(plans(), "treemem", norm="mean")
    assert found == near(0.25, 2 / 3, 0.25, -1 / 3, -0.25, -1 / 3)


def test_treemem_divides_by_the_deviation_over_nodes():
    # Two plans, 1/2 and 0: deviation sqrt(1/8); three rollouts do not make them three.
    found = advantage(plans(), "treemem", eps=0.0)
    assert found[0] == pytest.approx(0.25 / math.sqrt(1 / 8))


def test_treemem_among_siblings():
    # The answers to plan 1: 1 and 0, mean 1/2; the answer to plan 2 has no sibling.
    found = advantage(plans(), "treemem", norm="mean", peers="siblings")
    assert found == near(0.25, 0.5, 0.25, -0.5, -0.25, 0.0)


def test_treemem_takes_a_cost_off():
    # With half of the lengths 1, 0 and 0 off, plan 1 is worth 1/2 - 1/2: both are 0.
    frame = plans(kept=[1.0, 0.0, 1.0, 0.0, 0.0, 0.0])
    found = advantage(frame, "treemem", norm="mean", cost="kept", cost_weight=0.5)
    assert found[0] == found[4] == 0.0
    with pytest.raises(MissingInputError, match=r"'long' is not in the log.*'kept'"):
        advantage(frame, "treemem", cost="long")


@given(described_logs(max_length=1))
def test_treemem_without_forks_is_grpo(described: Described):
    frame = log(described, role="only")
    frame = frame.with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "treemem") == near(*advantage(frame, "grpo"))


def test_treemem_needs_roles_only_where_it_compares_roles():
    frame = with_prefix_nodes(log(PLANS))
    with pytest.raises(MissingInputError, match="treemem needs `role`"):
        advantage(frame, "treemem")
    # Roles change with depth here.
    by_depth = advantage(frame, "treemem", peers="depth")
    assert by_depth == advantage(plans(), "treemem")


def test_tree_methods_on_a_flat_log_say_which_command_makes_nodes():
    with pytest.raises(MissingInputError, match=r"spo needs `node_id`.*workbench import.*--tree"):
        advantage(log(PLANS), "spo")


def test_tree_grpo_adds_the_comparison_inside_the_tree():
    # Group: 1, 0, 0: mean 1/3, deviation sqrt(1/3). Tree of a and b: mean 1/2, deviation sqrt(1/2).
    # c is alone in its tree.
    frame = log(PLANS, tree_id=["1"] * 4 + ["2"] * 2)
    inter, inner = 1 / math.sqrt(1 / 3), 0.5 / math.sqrt(0.5)
    found = advantage(frame, "tree-grpo", eps=0.0)
    assert found[::2] == near(2 / 3 * inter + inner, -inter / 3 - inner, -inter / 3)
    raw = advantage(frame, "tree-grpo:reference", eps=0.0)
    assert raw == near(*found)  # c's raw reward is 0


def test_tree_grpo_nested_standardises_again():
    # z is affine, so the nested one is z inside the tree: ±0.5 / sqrt(0.5).
    frame = log(PLANS, tree_id=["1"] * 4 + ["2"] * 2)
    found = advantage(frame, "tree-grpo", eps=0.0, combine="nested")
    assert found[::2] == near(math.sqrt(0.5), -math.sqrt(0.5), 0.0)
    # The only rollout of a tree passes what the group gave it: (0 - 1/3) / sqrt(1/3).
    raw = advantage(frame, "tree-grpo:reference", eps=0.0, combine="nested")
    assert raw[::2] == near(math.sqrt(0.5), -math.sqrt(0.5), -1 / 3 / math.sqrt(1 / 3))


@given(described_logs())
def test_tree_grpo_with_one_tree_is_twice_grpo(described: Described):
    frame = log(described, tree_id="one")
    assert advantage(frame, "tree-grpo") == near(*(2 * np.array(advantage(frame, "grpo"))))


def test_spo_is_the_value_gained_along_an_edge():
    # The root is worth 1/3, plan 1 one half, plan 2 nothing.
    found = advantage(plans(), "spo")
    assert found == near(1 / 2 - 1 / 3, 1 / 2, 1 / 2 - 1 / 3, -1 / 2, -1 / 3, 0.0)


def test_spo_over_children():
    # The root is worth (1/2 + 0) / 2.
    assert advantage(plans(), "spo", over="children")[::2] == near(0.25, 0.25, -0.25)


def test_spo_over_the_siblings_deviation():
    # Plans 1/2 and 0: deviation (ddof 0) 1/4; answers 1 and 0: 1/2; plan 2's answer is alone.
    found = advantage(plans(), "spo", norm="std", eps=0.0)
    assert found == near(2 / 3, 1.0, 2 / 3, -1.0, -4 / 3, 0.0)


def test_spo_with_the_best_of_two():
    # 1 - (1 - V)^2: root 1 - 4/9, plan 1 3/4, right 1.
    found = advantage(plans(), "spo", best_of=2)
    assert found[:2] == near(3 / 4 - 5 / 9, 1 / 4)


@given(described_logs())
def test_spo_along_a_rollout_sums_to_its_outcome_less_the_mean(described: Described):
    frame = with_prefix_nodes(log(described))
    found = credit(frame, "spo")
    sums = np.add.reduceat(found.advantage, found.steps.trajectory_start[:-1])
    first = found.steps.trajectory_start[:-1]
    expected = credit(frame, "grpo", norm="mean").advantage[first]
    # A rollout that is a prefix of another one ends inside the tree, below its own outcome.
    tree = Space(found.steps).tree
    leaf = ~np.isin(tree.end, tree.parent) & (np.bincount(tree.end)[tree.end] == 1)
    np.testing.assert_allclose(sums[leaf], expected[leaf], atol=1e-9)


def test_treerl_adds_a_global_and_a_local_term():
    # n = 3: V'(v) - V'(root) = 3/2 (V(v) - 1/3). Plan 1: 1/4 twice; right: 1 and 3/2 · 1/2.
    found = credit(plans(), "treerl")
    assert found.terms["global"].value.tolist() == near(0.25, 1.0, 0.25, -0.5, -0.5, -0.5)
    assert found.terms["local"].value.tolist() == near(0.25, 0.75, 0.25, -0.75, -0.5, 0.0)


@given(described_logs(max_length=1, texts="a"))
def test_treerl_on_rollouts_of_one_step_is_rloo_twice(described: Described):
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "treerl") == near(*(2 * np.array(advantage(frame, "rloo"))))


def test_vineppo_is_the_change_between_replayed_states():
    # a: the group's mean 1/3, then replays 1, 0 (1/2), then its own outcome 1.
    # b: replays after the first step 0; c has none: one segment.
    replays = [[1.0, 0.0], [], [0.0], [0.5], None, None]
    frame = log(PLANS, replay_returns=pl.Series(replays, dtype=pl.List(pl.Float64)))
    found = advantage(frame, "vineppo")
    assert found == near(1 / 2 - 1 / 3, 1 / 2, -1 / 3, 0.0, -1 / 3, -1 / 3)


def test_vineppo_without_replays_is_refused():
    with pytest.raises(MissingInputError, match="vineppo needs `replay_returns`"):
        advantage(log(PLANS), "vineppo")


@given(described_logs())
def test_vineppo_along_valued_steps_sums_to_the_outcome_less_the_mean(described: Described):
    frame = log(described)
    frame = frame.with_columns(replay_returns=pl.concat_list(pl.lit(0.3)))
    found = credit(frame, "vineppo")
    sums = np.add.reduceat(found.advantage, found.steps.trajectory_start[:-1])
    first = found.steps.trajectory_start[:-1]
    expected = credit(frame, "grpo", norm="mean").advantage[first]
    np.testing.assert_allclose(sums, expected, atol=1e-12)


def test_c3_leaves_the_action_out_and_weights_by_returns():
    # Plan 1 has two rollouts, plan 2 one: 1/2 - 0 and 0 - 1/2; answers to plan 1: 1 - 0.
    found = advantage(plans(), "c3")
    assert found == near(0.5, 1.0, 0.5, -1.0, -0.5, 0.0)


def test_c3_takes_replays_where_they_are():
    # Plan 1 was replayed with 1, 1, 0 and plan 2 with 1: 2/3 - 1. Both rollouts of plan 1 hold its
    # replays.
    replays = [[1.0, 1.0, 0.0], [], [1.0, 1.0, 0.0], [], [1.0], []]
    frame = plans(replay_returns=pl.Series(replays, dtype=pl.List(pl.Float64)))
    found = credit(frame, "c3")
    assert found.advantage[0] == pytest.approx(2 / 3 - 1)
    assert found.explain(0).facts["step"]["returns"] == 3


def test_c3_weights_the_other_actions():
    # Three actions at one context with 2, 1, 1 rollouts worth 1/2, 1, 0; of the last one the others
    # are (2 · 1/2 + 1) / 3 by returns, (1/2 + 1) / 2 by actions.
    described: Described = {
        "g": {
            "a": [("x", "1", 1.0)],
            "b": [("x", "1", 0.0)],
            "c": [("x", "2", 1.0)],
            "d": [("x", "3", 0.0)],
        }
    }
    frame = with_prefix_nodes(log(described))
    assert advantage(frame, "c3")[3] == pytest.approx(-2 / 3)
    assert advantage(frame, "c3", weight="actions")[3] == pytest.approx(-3 / 4)


@pytest.mark.parametrize("baseline", ["others", "all"])
def test_c3_compares_an_action_outside_the_statistics_with_those_inside(baseline: str):
    # c counts nowhere: its 0 is compared with the 1 of the actions that do, equal as they are.
    described: Described = {
        "g": {"a": [("x", "1", 1.0)], "b": [("x", "2", 1.0)], "c": [("x", "3", 0.0)]}
    }
    frame = with_prefix_nodes(log(described, in_group_statistics=[True, True, False]))
    assert advantage(frame, "c3", baseline=baseline) == [0.0, 0.0, -1.0]
    assert advantage(frame, "c3", baseline=baseline, norm="std") == [0.0, 0.0, 0.0]


def test_c3_contexts_differ_where_the_observation_does():
    described: Described = {"g": {"a": [("x", "1", 1.0)], "b": [("y", "2", 0.0)]}}
    assert advantage(with_prefix_nodes(log(described)), "c3") == [0.0, 0.0]


@given(described_logs(max_length=1, texts="a"))
def test_c3_with_one_action_a_rollout_is_rloo(described: Described):
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    assert advantage(frame, "c3") == near(*advantage(frame, "rloo"))


@given(described_logs(max_length=1, texts="a"))
def test_in_c3_s_released_form_leaving_out_changes_nothing(described: Described):
    # A_loo is n/(n-1) of the advantage over the mean, and so is its deviation; but for eps.
    frame = log(described).with_columns(node_id=pl.col("trajectory_id"))
    left_out = advantage(frame, "c3:reference", eps=0.0)
    full = advantage(frame, "c3:reference", eps=0.0, baseline="all")
    assert left_out == pytest.approx(full, abs=1e-9)


def test_mt_grpo_gives_the_turn_s_reward_to_the_steps_that_led_to_it():
    # Outcomes 1, 0: mean 1/2, deviation sqrt(1/2), z = ±s with s = 0.5/sqrt(0.5). Turn rewards 0.4
    # at a's first step and 0 for b's: z = ±s. b has its own in the last step.
    described: Described = {
        "g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0), ("y", "q", 0.0)]}
    }
    s = 0.5 / math.sqrt(0.5)
    frame = log(described, turn_reward=[0.4, None, None, 0.0])
    found = advantage(frame, "mt-grpo", eps=0.0)
    assert found == near(2 * s, s, -2 * s, -2 * s)
    assert advantage(frame, "mt-grpo", eps=0.0, turn_weight=0.0) == near(s, s, -s, -s)


def test_mt_grpo_combines_where_no_turn_was_paid():
    # b has no turn reward: it gets z(R + T) = z(0) among 1.4 and 0.
    described: Described = {"g": {"a": [("x", "p", 1.0)], "b": [("x", "r", 0.0)]}}
    s = 0.5 / math.sqrt(0.5)
    found = credit(log(described, turn_reward=[0.4, None]), "mt-grpo", eps=0.0)
    assert found.advantage.tolist() == near(2 * s, -s)
    assert found.terms["combined"].value.tolist() == near(0.0, -s)


def test_mt_grpo_finds_the_turn_by_the_text_of_the_answer():
    described: Described = {
        "g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0), ("y", "q", 0.0)]}
    }
    s = 0.5 / math.sqrt(0.5)
    frame = log(
        described,
        turn_reward=[None, 0.4, None, 0.0],
        next_observation=["<result>", "end", "<result>", "<result>"],
    )
    found = advantage(frame, "mt-grpo", eps=0.0, result_text="<result>")
    assert found == near(2 * s, s, -2 * s, -s)


@given(described_logs())
def test_mt_grpo_with_weight_zero_is_grpo(described: Described):
    frame = log(described).with_columns(turn_reward=pl.col("reward"))
    assert advantage(frame, "mt-grpo", turn_weight=0.0) == near(*advantage(frame, "grpo"))


def test_igpo_standardises_turns_and_sums_them():
    # Turn rewards of a: 1, 0 and of b: 0, 0, 3 (with outcomes): mean 4/5; sums with γ = 1/2:
    # a: 0.2 + (-0.8)/2, -0.8.
    described: Described = {
        "g": {
            "a": [("x", "p", 0.0), ("y", "q", 0.0)],
            "b": [("x", "r", 0.0)] * 2 + [("z", "", 2.0)],
        }
    }
    frame = log(described, turn_reward=[1.0, None, None, 0.0, 1.0])
    found = advantage(frame, "igpo", gamma=0.5, norm="mean")
    assert found == near(-0.2, -0.8, -0.8 - 0.4 + 0.55, -0.8 + 1.1, 2.2)
    # Deviation of 1, 0, 0, 0, 3 with ddof 1: sum of squares 10 - 16/5 = 6.8, over 4.
    whole = advantage(frame, "igpo", gamma=0.5, eps=0.0)
    assert whole == near(*(np.array(found) / math.sqrt(1.7)))


def test_igpo_at_a_position_counts_ended_rollouts_as_zero():
    # Returns of a: 1, 1 and of b: 0. Second turn: (1 + 0)/2 although b has ended.
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0)]}}
    found = advantage(log(described), "igpo", baseline="position", norm="mean")
    assert found == [0.5, 0.5, -0.5]
    # Returns 1 and 0 at either turn: deviation sqrt(1/2).
    z = advantage(log(described), "igpo", baseline="position", eps=0.0)
    assert z == near(*(np.array(found) / math.sqrt(0.5)))


def test_igpo_against_the_first_turn():
    # With γ 1/2 returns begin with 1/2 and 0, mean 1/4; a's second is 1.
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)], "b": [("x", "r", 0.0)]}}
    found = advantage(log(described), "igpo", gamma=0.5, baseline="start", norm="mean")
    assert found == [0.25, 0.75, -0.25]


@given(described_logs(max_length=1))
def test_igpo_on_single_turns_is_grpo(described: Described):
    frame = log(described)
    assert advantage(frame, "igpo") == near(*advantage(frame, "grpo"))


def test_imported_takes_the_column_as_it_is():
    frame = log(PLANS, logged_advantage=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert advantage(frame, "imported") == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert advantage(frame, "imported", weight=-2.0)[0] == -0.2


def test_imported_compares_with_the_group_or_the_trajectory():
    frame = log(PLANS, judge=[1, 2, 3, 4, 5, 9])
    # Mean of all six 4; of c's 5 and 9 it is 7, the deviation sqrt(8).
    assert advantage(frame, "imported", column="judge", norm="group-mean")[0] == -3.0
    within = advantage(frame, "imported", column="judge", norm="trajectory-z", eps=0.0)
    assert within[4:] == near(-2 / math.sqrt(8), 2 / math.sqrt(8))


def test_imported_sums_to_the_end_and_adds_the_outcome():
    frame = log(PLANS, judge=[1.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    # 1 + 2/2, and twice GRPO's (1 - 1/3) / sqrt(1/3).
    found = advantage(frame, "imported", column="judge", gamma=0.5, outcome_weight=2.0, eps=0.0)
    assert found[0] == pytest.approx(2.0 + 2 * (2 / 3) / math.sqrt(1 / 3))


def test_a_step_without_a_number_gets_none_and_is_counted():
    frame = log(PLANS, judge=[1.0, None, math.nan, 3.0, 5.0, 3.0])
    found = credit(frame, "imported", column="judge", norm="group-mean")
    # Mean of 1, 3, 5, 3
    assert found.advantage.tolist() == [-2.0, 0.0, 0.0, 0.0, 2.0, 0.0]
    assert found.notes == ("2 steps have no judge and get 0",)


def test_a_column_that_is_not_there_or_no_number_is_named():
    with pytest.raises(MissingInputError, match=r"'judge' is not in the log.*'reward'"):
        advantage(log(PLANS), "imported", column="judge")
    with pytest.raises(MissingInputError, match="'action' is no number"):
        advantage(log(PLANS), "imported", column="action")


def test_turn_gae_by_hand():
    # δ_1 = 1 - 0.5; δ_0 = 0 + 0.5·0.5 - 0.2; A_0 = δ_0 + 0.5·0.5·δ_1.
    described: Described = {"g": {"a": [("x", "p", 0.0), ("y", "q", 1.0)]}}
    found = credit(log(described, critic_value=[0.2, 0.5]), "turn-gae", gamma=0.5, lam=0.5)
    assert found.advantage.tolist() == near(0.05 + 0.125, 0.5)
    assert found.outputs["value_target"].tolist() == near(0.375, 1.0)


def test_turn_gae_on_tokens_goes_by_turns_and_then_inside_them():
    # Turns end at tokens 1 and 3. A_3 = 1 - 0.4; A_1 = 1 + 0.5·0.4 - 0.2 + 0.25·0.6, with
    # the target 1.35. Inside: A_2 = 0.4 - 0.3 + 0.5·0.6, A_0 = 0.2 - 0.1 + 0.5·1.15.
    described: Described = {
        "g": {"a": [("", "", 0.0), ("", "", 1.0), ("", "", 0.0), ("", "", 1.0)]}
    }
    frame = log(described, critic_value=[0.1, 0.2, 0.3, 0.4])
    found = advantage(frame, "turn-gae", gamma=0.5, lam=0.5, turns="rewards", token_gamma=1.0)
    assert found == near(0.1 + 0.575, 1.15, 0.1 + 0.3, 0.6)


@given(described_logs())
def test_turn_gae_with_lambda_one_is_return_less_value(described: Described):
    frame = log(described, critic_value=0.25)
    plain = credit(frame, "return-to-go", gamma=0.9).terms["step"].score
    assert advantage(frame, "turn-gae", gamma=0.9, lam=1.0) == near(*(plain - 0.25))


def test_turn_gae_names_a_step_without_a_value():
    frame = log(PLANS, critic_value=[0.1, None, 0.3, 0.4, 0.5, 0.6])
    with pytest.raises(MissingInputError, match=r"missing at 1 scored steps.*'step_index': 1"):
        advantage(frame, "turn-gae")


def test_fields_name_their_range():
    with pytest.raises(ParameterError, match=r"lam must be in \[0.0, 1.0\]"):
        create("turn-gae", {"lam": 2.0})
    with pytest.raises(ParameterError, match="best_of must be in"):
        create("spo", {"best_of": 0})
