"""Contract of every method: its rules, and the log that they are checked on.

A dialect that breaks a rule declares the trait that says so.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from crediting import credit
from narrow import number

from workbench.errors import ParameterError, WorkbenchError
from workbench.methods import METHODS, create
from workbench.methods.base import TRAITS
from workbench.parameters import fields

NAMES = [
    name
    for method in METHODS.values()
    for name in (method.name, *(f"{method.name}:{dialect}" for dialect in method.dialects))
]


WORDS = ["drawer 1", "drawer 2", "a mug", "the shelf is empty", "sink", "nothing happens", "go"]


def traits(name: str) -> set[str]:
    method, _, dialect = name.partition(":")
    entry = METHODS[method]
    return set(entry.dialects[dialect].traits if dialect else entry.traits)


def without(*broken: str) -> list[str]:
    return [name for name in NAMES if not traits(name) & set(broken)]


def having(trait: str) -> list[str]:
    return [name for name in NAMES if trait in traits(name)]


def frame(seed: int = 0, groups: int = 4, rollouts: int = 5) -> pl.DataFrame:
    """Random rollouts with repeated texts, invalid actions, outcome rewards, optional columns."""
    rng = np.random.default_rng(seed)
    other = np.random.default_rng(seed + 1000)
    rows = []
    for group in range(groups):
        for rollout in range(rollouts):
            length = int(rng.integers(1, 7))
            won = bool(rng.random() < 0.5)
            rows += [
                {
                    "group_id": f"g{group}",
                    "trajectory_id": f"g{group}t{rollout}",
                    "step_index": step,
                    "observation": " ".join(rng.choice(WORDS, size=2)),
                    "action": "act",
                    "reward": float(won and step == length - 1),
                    "valid_action": bool(rng.random() < 0.8),
                }
                for step in range(length)
            ]
    log = pl.DataFrame(rows)
    # Drawn apart, so that a further column changes nothing of those before it.
    log = log.with_columns(
        action=pl.Series([f"act {other.integers(3)}" for _ in rows]),
        response_tokens=pl.Series(other.integers(1, 40, len(rows)), dtype=pl.Int32),
        next_observation=pl.col("observation")
        .shift(-1)
        .over("trajectory_id")
        .fill_null(pl.when(pl.col("reward") > 0).then(pl.lit("success")).otherwise(pl.lit("end"))),
    )
    aux = log["trajectory_id"].rank("dense") * 7 % 5 / 4
    log = log.with_columns(
        greedy_reward=(pl.col("group_id") == "g1").cast(pl.Float64), aux_reward_style=aux
    )
    return log.hstack(forks(log, seed))


def forks(log: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Columns of agents, trees, replays and imported numbers for a log, drawn apart from it.

    Rollouts 0 and 1 of a group share a tree and their first step, and so do the others.
    """
    rng = np.random.default_rng(seed + 2000)
    number = log["trajectory_id"].str.extract(r"t(\d+)").cast(pl.Int32)
    tree = log["group_id"] + pl.Series(["/"]) + (number // 2).clip(0, 1).cast(pl.String)
    own = log["trajectory_id"] + pl.Series([":"]) + log["step_index"].cast(pl.String)
    return pl.DataFrame(
        {
            "agent_id": [f"agent {rng.integers(2)}" for _ in range(log.height)],
            "role": [("plan", "act", "check")[step % 3] for step in log["step_index"]],
            "round": (log["step_index"] // 3).cast(pl.Int32),
            "tree_id": tree,
            "node_id": tree.zip_with(log["step_index"] == 0, own),
            "replay_returns": [
                rng.random(rng.integers(4)).round(2).tolist() for _ in range(log.height)
            ],
            "turn_reward": [
                float(rng.random()) if rng.random() < 0.3 else None for _ in range(log.height)
            ],
            "critic_value": rng.random(log.height),
            "logged_advantage": rng.normal(size=log.height),
            "critic_value_low": rng.random(log.height),
            "critic_value_high": rng.random(log.height),
            "critic_value_switch": rng.random(log.height),
            "critic_value_action": rng.random(log.height),
            "new_subgoal": rng.random(log.height) < 0.4,
            "prompt_ids": [
                list(range(int(rng.integers(5, 30)) + 30 * int(step))) for step in log["step_index"]
            ],
            "response_ids": [list(range(int(tokens))) for tokens in log["response_tokens"]],
        },
        schema_overrides={"replay_returns": pl.List(pl.Float64), "turn_reward": pl.Float64},
    )


def paid_equally(log: pl.DataFrame, reward: float | pl.Series) -> pl.DataFrame:
    """The first steps of the rollouts, with the same rewards in every column of rewards."""
    first = log.filter(pl.col("step_index") == 0).with_columns(next_observation=pl.lit("end"))
    critics = [column for column in log.columns if column.startswith("critic_value")]
    columns = ("reward", "greedy_reward", "aux_reward_style", "turn_reward", *critics)
    paid = first.with_columns(pl.lit(reward).alias(column) for column in columns)
    return paid.with_columns(replay_returns=pl.concat_list("reward"))


def with_another_batch(run: str | None, update: int | None) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A log of one batch, run r and update 1, and the same log with another batch in it.

    The other one has its own ids, rewards and, after the first step of each rollout, texts; one of
    its groups is dead; and its groups stand between those of the first.
    """
    first = frame().with_columns(run_id=pl.lit("r"), train_step=pl.lit(1, dtype=pl.Int64))
    names = ("group_id", "trajectory_id", "tree_id", "node_id")
    second = frame(3, groups=5).with_columns(
        *(pl.col(name).str.replace(r"^(g\d+)", "${1}b").alias(name) for name in names),
        *(
            pl.when(pl.col("step_index") == 0)
            .then(name)
            .otherwise(pl.format("{} of the cellar", name))
            .alias(name)
            for name in ("observation", "action")
        ),
        reward=(2.0 * pl.col("reward") + pl.col("step_index") / 8) * (pl.col("group_id") != "g1"),
        run_id=pl.lit(run, dtype=pl.String),
        train_step=pl.lit(update, dtype=pl.Int64),
    )
    return first, pl.concat([second, first])


def scaling(name: str, by: float = 16.0) -> str:
    """The part of a credit that grows with all rewards and values: "none", "all" or "part"."""
    log = frame()
    won = (pl.col("reward").sum() > 0).over("trajectory_id")
    paid = [
        name
        for name in log.columns
        if name.startswith(("reward", "greedy_reward", "aux_reward", "turn_reward", "critic_value"))
    ]
    replays = pl.col("replay_returns")
    one, other = (
        advantages(
            log.with_columns(
                *(pl.col(column) * factor for column in paid),
                replay_returns=replays * factor,
                success=won,
            ),
            name,
        )["advantage"].to_numpy()
        for factor in (1.0, by)
    )
    # An eps of 1e-4 beside a deviation of a tenth is a thousandth.
    near = 1e-3 * max(np.abs(one).max(), 1e-9)
    if np.abs(other - one).max() < near:
        return "none"
    return "all" if np.abs(other / by - one).max() < near else "part"


def renamed(log: pl.DataFrame) -> pl.DataFrame:
    """The same rollouts under ids that stand in the opposite order."""
    names = sorted({*log["group_id"], *log["trajectory_id"]})
    other = {name: f"r{len(names) - place:03d}" for place, name in enumerate(names)}
    return log.with_columns(pl.col("group_id", "trajectory_id").replace_strict(other))


def of_first_batch(log: pl.DataFrame, name: str) -> pl.DataFrame:
    return advantages(log, name).filter(~pl.col("group_id").str.ends_with("b"))


def accepted(name: str, **params: object) -> dict[str, object]:
    """Those of the parameters that a method has."""
    known = fields(METHODS[name.partition(":")[0]].cls)
    return {field: value for field, value in params.items() if field in known}


def advantages(log: pl.DataFrame, name: str, **params: object) -> pl.DataFrame:
    return (
        credit(log, name, **params)
        .table()
        .select("group_id", "trajectory_id", "step_index", "advantage")
    )


@dataclass(frozen=True)
class Rule:
    """A rule for every method, but for those with a trait that says otherwise."""

    check: Callable[..., None]
    names: list[str]
    arguments: list[dict[str, Any]]


RULES: list[Rule] = []


def rule(
    *unless: str, **values: Sequence[Any]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Makes a function of a name a rule.

    Args:
        unless: Traits of the methods and dialects that it does not hold for.
        values: A further argument and the values that it is checked with.
    """

    def listed(check: Callable[..., None]) -> Callable[..., None]:
        arguments = [
            dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())
        ]
        RULES.append(Rule(check, without(*unless), arguments))
        return check

    return listed


@rule()
def steps_of_a_group_outside_all_statistics_can_be_explained(name: str):
    found = credit(frame().with_columns(in_group_statistics=pl.col("group_id") != "g1"), name)
    for step in range(len(found.steps)):
        explanation = found.explain(step)
        assert explanation.advantage == pytest.approx(sum(p.value for p in explanation.parts))


@rule()
def every_scored_step_has_a_finite_advantage_and_excluded_ones_have_none(name: str):
    log = frame().with_columns(
        reward=pl.when(pl.col("trajectory_id") == "g1t1").then(None).otherwise("reward")
    )
    table = credit(log, name).table()
    excluded = table.filter(pl.col("trajectory_id") == "g1t1")
    scored = table.filter(pl.col("trajectory_id") != "g1t1")
    assert table.height == log.height
    assert excluded["advantage"].is_null().all()
    assert excluded["excluded"].str.starts_with("reward is null at step").all()
    assert scored["advantage"].is_finite().all()
    assert scored["excluded"].is_null().all()
    # What is excluded has no influence either.
    alone = credit(log.filter(pl.col("trajectory_id") != "g1t1"), name).table()
    assert alone["advantage"].equals(scored["advantage"])


@rule()
def terms_sum_to_the_advantage_exactly(name: str):
    table = credit(frame(), name, **accepted(name, invalid_penalty=0.1)).table()
    terms = [column for column in table.columns if column.startswith("term_")]
    total = np.zeros(table.height)
    for term in terms:
        total = total + table[term].to_numpy()
    assert terms
    assert total.tolist() == table["advantage"].to_list()


@rule("row-order")
def row_order_is_irrelevant(name: str):
    log = frame()
    shuffled = log.sample(fraction=1.0, shuffle=True, seed=1)
    penalty = accepted(name, invalid_penalty=0.1)
    assert advantages(log, name, **penalty).equals(advantages(shuffled, name, **penalty))


@rule("depends-on-ids")
def other_ids_of_the_same_rollouts_change_nothing(name: str):
    log = frame()
    penalty = accepted(name, invalid_penalty=0.1)
    found, other = (credit(each, name, **penalty) for each in (log, renamed(log)))
    ids = ("group_id", "trajectory_id", "step_index")
    named = renamed(found.table().select(*ids, "advantage"))
    joined = named.join(other.table(), on=ids)
    assert joined.height == log.height
    np.testing.assert_allclose(joined["advantage"], joined["advantage_right"], atol=1e-9)


@rule("mixed-scale")
def rewards_of_another_scale_scale_credit_or_leave_it(name: str):
    assert scaling(name) in {"none", "all"}


@rule("couples-groups")
def groups_are_independent(name: str):
    log = frame()
    whole = advantages(log, name)
    for group in ("g0", "g2"):
        alone = advantages(log.filter(pl.col("group_id") == group), name)
        assert alone.equals(whole.filter(pl.col("group_id") == group))


OTHERS = [("r", 0), ("r", 2), ("s", 1), (None, 1), ("r", None)]
"""Run and update of a batch besides update 1 of run r."""


@rule("couples-batches", other=OTHERS)
def batches_are_independent(name: str, other: tuple[str | None, int | None]):
    alone, both = with_another_batch(*other)
    assert of_first_batch(both, name).equals(advantages(alone, name))


@rule()
def a_later_batch_changes_no_earlier_one(name: str):
    alone, both = with_another_batch("r", 2)
    assert of_first_batch(both, name).equals(advantages(alone, name))


@rule()
def a_log_without_updates_is_one_batch_and_coupled_credit_says_so(name: str):
    _, both = with_another_batch("r", 2)
    coupled = "couples-groups" in traits(name)
    for log, expected in ((both, False), (both.drop("train_step"), coupled)):
        notes = credit(log, name).notes
        assert any("taken for one batch" in note for note in notes) == expected


@rule()
def peers_are_of_the_batch_and_coupled_credit_names_it(name: str):
    found = credit(with_another_batch("s", 2)[1], name)
    for step in (0, len(found.steps) // 2, len(found.steps) - 1):
        explanation = found.explain(step)
        own = explanation.step["group_id"].endswith("b")
        assert set(explanation.peers["group_id"].str.ends_with("b")) <= {own}
        named = [facts["batch"] for facts in explanation.facts.values() if "batch" in facts]
        assert set(named) <= {"run s, update 2" if own else "run r, update 1"}
        assert bool(named) == ("couples-groups" in traits(name))


@rule("ignores-rewards", "credits-equal-rewards", reward=[0.0, 1.0, 0.1, 10.0])
def equal_returns_give_exactly_zero(name: str, reward: float):
    # One step each, so that discounting leaves the returns equal too.
    log = paid_equally(frame(), reward)
    params = accepted(name, success_threshold=0.5)
    assert (advantages(log, name, **params)["advantage"] == 0.0).all()


def with_a_dead_group() -> pl.DataFrame:
    """Rollouts of one step, those of group g1 paid alike and the others by a coin."""
    first = frame().filter(pl.col("step_index") == 0)
    coin = np.random.default_rng(0).integers(0, 2, first.height).astype(np.float64)
    dead = first["group_id"].to_numpy() == "g1"
    return paid_equally(first, pl.Series(np.where(dead, 1.0, coin)))


@rule("ignores-rewards", "credits-dead-groups")
def a_group_of_equal_rewards_gets_nothing_whatever_the_others_got(name: str):
    params = accepted(name, success_threshold=0.5)
    found = advantages(with_a_dead_group(), name, **params)
    assert number(found.filter(pl.col("group_id") == "g1")["advantage"].abs().max()) <= 1e-15


@rule("ignores-rewards", "credits-equal-rewards")
def equal_returns_up_to_rounding_give_exactly_zero(name: str):
    # 0.3 and 0.1 + 0.2 differ in the last bit; a deviation of 1e-17 must not be divided by.
    first = frame().filter(pl.col("step_index") == 0)
    rewards = pl.Series([0.3 if row % 2 else 0.1 + 0.2 for row in range(first.height)])
    table = advantages(paid_equally(first, rewards), name)
    assert number(table["advantage"].abs().max()) <= 1e-15


@rule("raw-group-of-one")
def a_group_of_one_gets_an_episode_term_of_zero(name: str):
    log = frame(rollouts=1)
    table = credit(log, name).table()
    if "term_episode" in table.columns:
        assert (table["term_episode"] == 0.0).all()


@rule("counts-copies")
def copies_do_not_count(name: str):
    log = frame()
    copied = pl.concat([log, log.filter(pl.col("trajectory_id") == "g0t0")])
    assert advantages(log, name).equals(advantages(copied, name))


@rule("tokens-population", "charges-length")
def response_tokens_do_not_matter(name: str):
    log = frame()
    assert advantages(log, name).equals(advantages(log.drop("response_tokens"), name))


@rule()
def a_trajectory_outside_the_statistics_changes_no_other_credit(name: str):
    log = frame().with_columns(in_group_statistics=pl.col("trajectory_id") != "g0t0")
    others = pl.col("trajectory_id") != "g0t0"
    without_it = advantages(log.filter(others), name)["advantage"]
    found = advantages(log, name).filter(others)["advantage"]
    np.testing.assert_allclose(found, without_it, atol=1e-12)


@rule()
def the_same_bytes_on_every_run(name: str):
    log = frame()
    assert advantages(log, name).equals(advantages(log, name))


@rule(factor=[1e300, 1e-300, 1.7e308, 5e-324])
def extreme_rewards_give_finite_credit_or_are_refused_by_name(name: str, factor: float):
    # Of one sign, and of both.
    turned = pl.col("trajectory_id").str.ends_with("1")
    for reward in (
        pl.col("reward") * factor,
        pl.when(turned).then(-factor).otherwise(pl.col("reward") * factor),
    ):
        said, finite = "", True
        try:
            found = advantages(frame().with_columns(reward=reward), name)["advantage"]
            finite = found.is_finite().all()
        except WorkbenchError as refused:
            said = str(refused)
        assert finite
        assert not said or ("not finite" in said and "trajectory_id" in said)


@rule(seed=[0, 1])
def an_explanation_sums_to_the_advantage_and_its_peers_to_the_baseline(name: str, seed: int):
    found = credit(frame(seed), name)
    for step in range(len(found.steps)):
        explanation = found.explain(step)
        assert sum(explanation.terms.values()) == pytest.approx(explanation.advantage, abs=1e-12)
        parts = sum(part.value for part in explanation.parts)
        assert parts == pytest.approx(explanation.advantage, abs=1e-9)
        for term, facts in explanation.facts.items():
            peers = explanation.peers.filter(pl.col("term") == term)
            if facts["factor"] and peers.height:
                baseline = (peers["weight"] * peers["value"]).sum()
                assert baseline == pytest.approx(facts["baseline"], abs=1e-12)
                assert peers["weight"].sum() == pytest.approx(1.0)
        json.dumps(explanation.to_dict())


@rule()
def hyper_parameters_out_of_range_are_refused_and_all_named(name: str):
    cls = METHODS[name.partition(":")[0]].cls
    for spec in fields(cls).values():
        if "min" in spec.metadata:
            with pytest.raises(ParameterError, match=f"{spec.name} must be in"):
                create(name, {spec.name: spec.metadata["min"] - 1})
        if spec.choices:
            with pytest.raises(ParameterError, match=f"{spec.name} must be one of"):
                create(name, {spec.name: "nonsense"})
        with pytest.raises(ParameterError, match=spec.name):
            create(name, {spec.name: ["a", "list"]})


def every_trait_is_known_and_every_method_says_its_formula_and_conventions():
    for name in NAMES:
        assert traits(name) <= set(TRAITS)
    for method in METHODS.values():
        text = method.cls.__doc__ or ""
        for part in ("**Conventions**", "**Differs from**", "Source:", "Degenerate cases:"):
            assert part in text, f"{method.name}: {part}"


def the_registry_is_json():
    listed = json.loads(json.dumps({name: m.to_dict() for name, m in METHODS.items()}))
    temperature = listed["proxmo"]["fields"]["temperature"]
    assert temperature["type"] == "float"
    assert temperature["default"] == 0.1
    assert temperature["min"] == 0
    assert temperature["min_exclusive"] is True
    golden = listed["proxmo"]["dialects"]["reference"]["golden"]
    assert golden["proxmo_soft"] == {"params": {}, "term": None}
    assert golden["proxmo_soft__step"] == {"params": {}, "term": "step"}
    assert golden["psa_tau1.0"] == {"params": {"temperature": 1.0}, "term": "step"}
    assert golden["proxmo_p"] == {"params": {}, "output": "success_rate"}
