"""History GAE: values from other trajectories' returns on what was done so far."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from crediting import credit, near
from logs import steps
from method_contract import frame
from narrow import number

from workbench.log.steps import Steps
from workbench.methods.parts.history import kind_of, means_of_others
from workbench.methods.turn import history_gae

ONE_STEP = pl.DataFrame(
    {
        "group_id": ["g", "g", "h", "h"],
        "trajectory_id": list("abcd"),
        "step_index": [0, 0, 0, 0],
        "observation": ["room"] * 4,
        "action": ["go"] * 4,
        "reward": [1.0, 0.0, 1.0, 1.0],
    }
)


def told(log: pl.DataFrame) -> pl.DataFrame:
    """The log with tasks and actions that share words with them."""
    rng = np.random.default_rng(5)
    acts = ["take mug 1", "go to sink", "open drawer", "take cup"]
    return log.with_columns(
        task=pl.lit("put a mug into the drawer"),
        action=pl.Series(rng.choice(acts, log.height).tolist()),
    )


def naive(log: pl.DataFrame, *, gamma=0.95, lam=0.9, alpha=30.0, earlier=(0.0, 0.0)) -> dict:
    """The formula of the docstring, trajectory after trajectory, on a log of one batch."""
    rows = log.sort("group_id", "trajectory_id", "step_index")
    kinds = sorted({kind_of(a, t or "") for a, t in rows.select("action", "task").iter_rows()})
    of = {}
    for (group, name), part in rows.group_by(["group_id", "trajectory_id"], maintain_order=True):
        later: list[float] = []
        total = 0.0
        for reward in reversed(part["reward"].to_list()):
            total = reward + gamma * total
            later.insert(0, total)
        of[group, name] = (part, np.array(later))
    longest = int(number(rows["step_index"].max())) + 1

    def phi(group, name):
        part, y = of[group, name]
        others = [v for (g, n), (_, v) in of.items() if g == group and n != name]
        mean = np.concatenate(others).mean()
        made = np.zeros((len(y), 4 + 2 * len(kinds)))
        seen: list[int] = []
        for t, (action, task) in enumerate(part.select("action", "task").iter_rows()):
            made[t, :4] = [t / longest, (t / longest) ** 2, 1.0, mean]
            for kind in seen:
                made[t, 4 + 2 * kind + 1] = 1.0
            if seen:
                made[t, 4 + 2 * seen[-1]] = 1.0
            seen.append(kinds.index(kind_of(action, task or "")))
        return made

    known = {key: phi(*key) for key in of}
    gram, moment = earlier
    gram = gram + sum(x.T @ x for x in known.values())
    moment = moment + sum(known[key].T @ of[key][1] for key in of)
    found = {}
    for key, (part, y) in of.items():
        x = known[key]
        beta = np.linalg.solve(gram - x.T @ x + alpha * np.eye(x.shape[1]), moment - x.T @ y)
        value = np.append(x @ beta, 0.0)
        reward = part["reward"].to_numpy()
        advantage = np.zeros(len(y) + 1)
        for t in reversed(range(len(y))):
            delta = reward[t] + gamma * value[t + 1] - value[t]
            advantage[t] = delta + gamma * lam * advantage[t + 1]
        found[key] = advantage[:-1]
    return {"advantage": np.concatenate(list(found.values())), "gram": gram, "moment": moment}


def test_a_case_worked_by_hand():
    # φ is (1, m); m is 0 for a, whose only other has 0, and 1 for the others. α = 2.
    # Without a: A = 3 · (1 1; 1 1), c = (2, 2), so β = (2/8, 2/8) and V(a) = 1/4.
    # Without b: (5 2; 2 4) β = (3, 2), β = (1/2, 1/4), V(b) = 3/4.
    # Without c: (5 2; 2 4) β = (2, 1), β = (6/16, 1/16), V(c) = 7/16; d like c.
    found = credit(ONE_STEP, "history-gae", ridge=2.0)
    assert found.advantage.tolist() == pytest.approx([3 / 4, -3 / 4, 9 / 16, 9 / 16])
    assert found.outputs["history_value"].tolist() == pytest.approx([1 / 4, 3 / 4, 7 / 16, 7 / 16])


def test_a_group_of_equal_rewards_gets_nothing_on_request():
    found = credit(ONE_STEP, "history-gae", ridge=2.0, dead_groups="zero")
    assert found.advantage.tolist() == pytest.approx([3 / 4, -3 / 4, 0.0, 0.0])


@pytest.mark.parametrize("seed", range(3))
def test_the_block_formula_is_the_formula(seed: int):
    log = told(frame(seed))
    expected = naive(log)["advantage"]
    assert credit(log, "history-gae").advantage == pytest.approx(expected, abs=1e-12)


def test_a_trajectory_with_more_steps_than_features_is_solved_the_other_way():
    log = told(frame(1)).with_columns(action=pl.lit("go"))
    # One kind, so 6 features; the longest trajectory has 6 steps. Without kinds there are 4.
    long = log.with_columns(action=pl.lit(None, dtype=pl.String).fill_null("?!"))
    assert Steps.from_log(credit(long, "history-gae").steps.log).step_index.max() == 5
    found = credit(long, "history-gae", kinds=0)
    # The one kind there is, "+0", is told apart in the formula; here it is what rare ones share.
    assert found.advantage == pytest.approx(naive(long)["advantage"], abs=1e-12)


def test_a_later_batch_is_fitted_to_eight_tenths_of_the_earlier(monkeypatch):
    first, second = told(frame(1)), told(frame(2))
    names = ("group_id", "trajectory_id", "tree_id", "node_id")
    renamed = second.with_columns((pl.col(name) + "b").alias(name) for name in names)
    both = pl.concat(
        [first.with_columns(train_step=pl.lit(1)), renamed.with_columns(train_step=pl.lit(2))]
    )
    of_first = naive(first)
    # All kinds occur in both, so that columns agree.
    expected = naive(second, earlier=(0.8 * of_first["gram"], 0.8 * of_first["moment"]))
    table = credit(both, "history-gae").table()
    late = table.filter(pl.col("group_id").str.ends_with("b"))["advantage"].to_numpy()
    assert late == pytest.approx(expected["advantage"], abs=1e-12)
    apart = credit(both, "history-gae", pool=0.0).table()
    late = apart.filter(pl.col("group_id").str.ends_with("b"))["advantage"].to_numpy()
    assert late == pytest.approx(naive(second)["advantage"], abs=1e-12)


def test_parts_in_memory_change_nothing(monkeypatch):
    log = told(frame(4))
    whole = credit(log, "history-gae").advantage
    monkeypatch.setattr(history_gae, "_ROWS", 7)
    assert credit(log, "history-gae").advantage == pytest.approx(whole, abs=1e-12)


def test_rare_kinds_share_one_for_each_number_of_words():
    # Of take+1, take+0, go+0 and open+1 one is told apart; the others are *+0 or *+1.
    found = credit(told(frame(1)), "history-gae", kinds=1)
    facts = [name for step in range(len(found.steps)) for name in found.explain(step).facts["step"]]
    named = {name.partition(" ")[2] for name in facts if name.startswith(("last ", "ever "))}
    assert {"*+0", "*+1"} < named
    assert len(named) == 3


def test_the_shares_of_the_features_sum_to_the_value():
    found = credit(told(frame(1)), "history-gae")
    for step in range(len(found.steps)):
        facts = dict(found.explain(step).facts["step"])
        value = facts.pop("baseline")
        for name in ("score", "factor", "batch", "td_error"):
            facts.pop(name)
        assert sum(facts.values()) == pytest.approx(value, abs=1e-12)


def test_a_log_without_tasks_says_so():
    assert any("have no task" in note for note in credit(frame(), "history-gae").notes)
    assert not any("have no task" in n for n in credit(told(frame()), "history-gae").notes)


@pytest.mark.parametrize(
    ("action", "task", "kind"),
    [
        ("Take mug 1 from shelf", "put a mug in the sink", "take+1"),
        ("search[red shoe]", "find a red shoe", "search+2"),
        ('{"name": "buy", "arguments": {"item": "shoe", "note": [1, null]}}', "a shoe", "buy+1"),
        # The words of values inside lists, and not those of keys.
        ('{"name": "put", "arguments": {"do": [{"mug": "sink"}]}}', "mug in sink", "put+1"),
        ('{"name": "a", "arguments": {}}\n{"name": "b", "arguments": {}}', "a b", "a&b+0"),
        ("42!", "42", "+0"),
        ("", "", "+0"),
    ],
)
def test_what_kind_an_action_is(action: str, task: str, kind: str):
    assert kind_of(action, task) == kind


def test_credit_is_divided_by_its_deviation_over_the_batch_on_request():
    # 3/4, −3/4, 9/16, 9/16: mean 9/32, squares of the rest (15/32)², (33/32)², 2 (9/32)², whose sum
    # is 1476/1024; by 3 and the root, σ = .693.
    plain = credit(ONE_STEP, "history-gae", ridge=2.0).advantage
    found = credit(ONE_STEP, "history-gae", ridge=2.0, norm="batch", eps=0.0).advantage
    sigma = (1476 / 1024 / 3) ** 0.5
    assert found.tolist() == pytest.approx((plain / sigma).tolist())
    # Another update's rewards change nothing.
    later = ONE_STEP.with_columns(
        pl.col("group_id", "trajectory_id") + "2", reward=9.0 * pl.Series([1.0, 0.0, 0.0, 1.0])
    )
    both = pl.concat(
        [ONE_STEP.with_columns(train_step=0), later.with_columns(train_step=1)], how="diagonal"
    )
    again = credit(both, "history-gae", ridge=2.0, norm="batch", eps=0.0).advantage
    of_first = [0, 1, 4, 5]  # groups are g, g2, h, h2
    assert again[of_first].tolist() == pytest.approx(found.tolist())


def test_a_rollout_without_others_in_its_group_has_the_mean_of_the_batchs_other_groups():
    log = steps(
        {
            "g": {"a": [("x", "p", 0.0)], "b": [("x", "p", 0.0)], "c": [("x", "p", 0.0)]},
            "h": {"d": [("x", "p", 0.0)]},
        },
        in_group_statistics=[True, True, False, True],
    )
    found = means_of_others(log, np.array([1.0, 2.0, 9.0, 4.0]))
    # Of a: b's 2; of b: a's 1; of c, which does not count: both; of d: those of the other group.
    assert found.tolist() == near(2.0, 1.0, 1.5, 1.5)
    alone = steps({"h": {"d": [("x", "p", 0.0)]}})
    assert means_of_others(alone, np.array([4.0])).tolist() == [0.0]
