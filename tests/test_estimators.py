"""The contract of every method, and what the registry says about it.

Each method and each dialect is run at its own fields. A dialect that breaks a rule of the contract
declares the trait that says so; here the rule holds for all others, and is shown broken for it.
"""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from workbench.errors import ParameterError, UnknownNameError
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.methods.base import TRAITS
from workbench.parameters import fields
from workbench.states.space import Space

NAMES = [
    name
    for method in METHODS.values()
    for name in (method.name, *(f"{method.name}:{dialect}" for dialect in method.dialects))
]
OUTCOMES = [
    name for name in NAMES if "ignores-rewards" not in METHODS[name.partition(":")[0]].traits
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
        },
        schema_overrides={"replay_returns": pl.List(pl.Float64), "turn_reward": pl.Float64},
    )


def paid_equally(log: pl.DataFrame, reward: float | pl.Series) -> pl.DataFrame:
    """The first steps of the rollouts, with the same rewards in every column of rewards."""
    first = log.filter(pl.col("step_index") == 0).with_columns(next_observation=pl.lit("end"))
    columns = ("reward", "greedy_reward", "aux_reward_style", "turn_reward", "critic_value")
    paid = first.with_columns(pl.lit(reward).alias(column) for column in columns)
    return paid.with_columns(replay_returns=pl.concat_list("reward"))


def accepted(name: str, **params: object) -> dict[str, object]:
    """Those of the parameters that a method has."""
    known = fields(METHODS[name.partition(":")[0]].cls)
    return {field: value for field, value in params.items() if field in known}


def credit(log: pl.DataFrame, name: str, **params: object):
    steps = Steps.from_log(validate(log).log)
    return create(name, params)(steps, Space(steps, embedder="tfidf"))


def advantages(log: pl.DataFrame, name: str, **params: object) -> pl.DataFrame:
    return (
        credit(log, name, **params)
        .table()
        .select("group_id", "trajectory_id", "step_index", "advantage")
    )


@pytest.mark.parametrize("name", NAMES)
def test_steps_of_a_group_outside_all_statistics_can_be_explained(name: str):
    found = credit(frame().with_columns(in_group_statistics=pl.col("group_id") != "g1"), name)
    for step in range(len(found.steps)):
        explanation = found.explain(step)
        assert explanation.advantage == pytest.approx(sum(p.value for p in explanation.parts))


@pytest.mark.parametrize("name", ["salt", "ecpo-gate", "shuffled", "trajectory"])
def test_a_method_made_from_another_has_its_notes_and_needs(name: str):
    log = frame().with_columns(reward=pl.col("reward") * 0.7)
    found = credit(log, name, of="proxmo")
    assert found.notes == credit(log, "proxmo").notes
    assert any("success is not defined" in note for note in found.notes)
    assert "similarity" in create(name, {"of": "proxmo"}).needs()
    with pytest.raises(ParameterError, match="of: unknown method 'prxmo'"):
        create(name, {"of": "prxmo"})


def test_the_four_methods_are_registered():
    assert {"grpo", "rloo", "gigpo", "proxmo"} <= set(METHODS)


@pytest.mark.parametrize("name", NAMES)
def test_every_scored_step_has_a_finite_advantage_and_excluded_ones_have_none(name: str):
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


@pytest.mark.parametrize("name", NAMES)
def test_terms_sum_to_the_advantage_exactly(name: str):
    table = credit(frame(), name, **accepted(name, invalid_penalty=0.1)).table()
    terms = [column for column in table.columns if column.startswith("term_")]
    total = np.zeros(table.height)
    for term in terms:
        total = total + table[term].to_numpy()
    assert terms
    assert total.tolist() == table["advantage"].to_list()


@pytest.mark.parametrize("name", without("row-order"))
def test_row_order_is_irrelevant(name: str):
    log = frame()
    shuffled = log.sample(fraction=1.0, shuffle=True, seed=1)
    penalty = accepted(name, invalid_penalty=0.1)
    assert advantages(log, name, **penalty).equals(advantages(shuffled, name, **penalty))


@pytest.mark.parametrize("name", having("row-order"))
def test_row_order_matters_where_the_trait_says_so(name: str):
    # Long texts that differ in a word or two: near enough for clusters that depend on the order.
    before = (
        "You look around the kitchen, and among all the things in it there is one that counts: "
    )
    log = frame().with_columns(observation=before + pl.col("observation"))
    last_first = log.reverse()
    assert not advantages(log, name, invalid_penalty=0.1).equals(
        advantages(last_first, name, invalid_penalty=0.1)
    )


@pytest.mark.parametrize("name", without("couples-groups"))
def test_groups_are_independent(name: str):
    log = frame()
    whole = advantages(log, name)
    for group in ("g0", "g2"):
        alone = advantages(log.filter(pl.col("group_id") == group), name)
        assert alone.equals(whole.filter(pl.col("group_id") == group))


@pytest.mark.parametrize("name", having("couples-groups"))
def test_groups_are_coupled_where_the_trait_says_so(name: str):
    # One group is dead, which GPG makes up for.
    alive = pl.col("group_id") != "g1"
    log = frame().with_columns(reward=pl.col("reward") * alive)
    whole = advantages(log, name).filter(pl.col("group_id") == "g0")
    alone = advantages(log.filter(pl.col("group_id") == "g0"), name)
    assert np.abs(whole["advantage"].to_numpy() - alone["advantage"].to_numpy()).max() > 1e-3


@pytest.mark.parametrize("reward", [0.0, 1.0, 0.1, 10.0])
@pytest.mark.parametrize("name", without("ignores-rewards"))
def test_equal_returns_give_exactly_zero(name: str, reward: float):
    # One step each, so that discounting leaves the returns equal too.
    log = paid_equally(frame(), reward)
    params = accepted(name, success_threshold=0.5)
    assert (advantages(log, name, **params)["advantage"] == 0.0).all()


@pytest.mark.parametrize("name", having("ignores-rewards"))
def test_rewards_do_not_matter_where_the_trait_says_so(name: str):
    log = frame()
    paid = log.with_columns(reward=pl.col("reward") + pl.col("step_index"))
    assert advantages(log, name).equals(advantages(paid, name))


@pytest.mark.parametrize("name", without("ignores-rewards"))
def test_equal_returns_up_to_rounding_give_exactly_zero(name: str):
    # 0.3 and 0.1 + 0.2 differ in the last bit; a deviation of 1e-17 must not be divided by.
    first = frame().filter(pl.col("step_index") == 0)
    rewards = pl.Series([0.3 if row % 2 else 0.1 + 0.2 for row in range(first.height)])
    table = advantages(paid_equally(first, rewards), name)
    assert table["advantage"].abs().max() <= 1e-15


@pytest.mark.parametrize("name", without("raw-group-of-one"))
def test_a_group_of_one_gets_an_episode_term_of_zero(name: str):
    log = frame(rollouts=1)
    table = credit(log, name).table()
    if "term_episode" in table.columns:
        assert (table["term_episode"] == 0.0).all()


@pytest.mark.parametrize("name", having("raw-group-of-one"))
def test_a_group_of_one_gets_its_reward_where_the_trait_says_so(name: str):
    # A trajectory of one step, so that it is alone under any population, and a group beside it, so
    # that there is something to normalise over.
    log = pl.DataFrame(
        {
            "group_id": ["g", "h", "h"],
            "trajectory_id": ["t", "u", "v"],
            "step_index": [0, 0, 0],
            "observation": ["a mug"] * 3,
            "next_observation": ["success", "end", "success"],
            "action": ["take"] * 3,
            "reward": [1.0, 0.0, 1.0],
            "response_tokens": [2, 3, 4],
            "aux_reward_style": [0.5, 0.25, 0.0],
            "tree_id": ["g/0", "h/0", "h/0"],
        }
    )
    params = accepted(name, psc="off")
    found = credit(log, name, **params)
    facts = found.explain(0).facts["episode"]
    assert (facts["score"], facts["baseline"]) == (1.0, 0.0)
    assert facts["factor"] > 0
    if "couples-groups" not in traits(name):
        assert found.terms["episode"].value[0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("name", having("tokens-population"))
def test_response_tokens_matter_where_the_trait_says_so(name: str):
    log = frame()
    verbose = log.with_columns(response_tokens=pl.col("response_tokens") * pl.col("reward"))
    changed = advantages(log, name)["advantage"] - advantages(verbose, name)["advantage"]
    assert changed.abs().max() > 1e-3


@pytest.mark.parametrize("name", without("tokens-population"))
def test_response_tokens_do_not_matter(name: str):
    log = frame()
    assert advantages(log, name).equals(advantages(log.drop("response_tokens"), name))


@pytest.mark.parametrize("name", having("steps-population"))
def test_long_trajectories_weigh_more_where_the_trait_says_so(name: str):
    # Trajectory a wins in 1 step, b loses in 3. Over steps the mean is 1/4, over trajectories 1/2.
    log = pl.DataFrame(
        {
            "group_id": ["g"] * 4,
            "trajectory_id": ["a", "b", "b", "b"],
            "step_index": [0, 0, 1, 2],
            "observation": list("wxyz"),
            "next_observation": ["success", *"yze"],
            "action": ["act"] * 4,
            "reward": [1.0, 0.0, 0.0, 0.0],
            "response_tokens": [1] * 4,
        }
    )
    found = credit(log, name).explain(0).facts["episode"]
    assert found.get("others", found.get("group_size", 0) - 1) == 3
    assert found.get("group_mean", 0.25) == 0.25


@pytest.mark.parametrize("name", having("counts-copies"))
def test_copies_count_where_the_trait_says_so(name: str):
    # All rewards differ, and the copied rollout is the best of its group.
    first = frame().filter(pl.col("step_index") == 0)
    log = first.with_columns(
        observation=pl.lit("a mug"), reward=1.0 / pl.int_range(1, first.height + 1)
    )
    copied = pl.concat([log, log.filter(pl.col("trajectory_id") == "g0t0")])
    assert not advantages(log, name).equals(advantages(copied, name))


@pytest.mark.parametrize("name", without("counts-copies"))
def test_copies_do_not_count(name: str):
    log = frame()
    copied = pl.concat([log, log.filter(pl.col("trajectory_id") == "g0t0")])
    assert advantages(log, name).equals(advantages(copied, name))


@pytest.mark.parametrize("name", NAMES)
def test_a_trajectory_outside_the_statistics_changes_no_other_credit(name: str):
    log = frame().with_columns(in_group_statistics=pl.col("trajectory_id") != "g0t0")
    others = pl.col("trajectory_id") != "g0t0"
    without_it = advantages(log.filter(others), name)["advantage"]
    found = advantages(log, name).filter(others)["advantage"]
    np.testing.assert_allclose(found, without_it, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_bytes_on_every_run(name: str):
    log = frame()
    assert advantages(log, name).equals(advantages(log, name))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_an_explanation_sums_to_the_advantage_and_its_peers_to_the_baseline(name: str, seed: int):
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


@pytest.mark.parametrize("name", NAMES)
def test_hyper_parameters_out_of_range_are_refused_and_all_named(name: str):
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


def test_all_wrong_fields_are_reported_at_once():
    with pytest.raises(
        ParameterError, match=r"gamma must be in \[0.0, 1.0\], got 1.5; .*temperature"
    ):
        create("proxmo", {"gamma": 1.5, "temperature": 0.0})


def test_infinity_and_nan_are_no_hyper_parameters():
    for value in (float("inf"), float("nan")):
        with pytest.raises(ParameterError, match="temperature"):
            create("proxmo", {"temperature": value})


def test_unknown_names_are_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match=r"unknown method 'gipgo'; .*did you mean 'gigpo'"):
        create("gipgo")
    with pytest.raises(UnknownNameError, match=r"unknown dialect of grpo 'verk'.*'verl'"):
        create("grpo:verk")
    with pytest.raises(ParameterError, match=r"unknown field of proxmo 'tau'.*temperature"):
        create("proxmo", {"tau": 0.1})


def test_an_int_is_a_float_and_a_bool_is_not():
    assert create("proxmo", {"temperature": 1}).temperature == 1.0
    with pytest.raises(ParameterError):
        create("proxmo", {"temperature": True})


def test_every_trait_is_known_and_every_method_says_its_formula_and_conventions():
    for name in NAMES:
        assert traits(name) <= set(TRAITS)
    for method in METHODS.values():
        text = method.cls.__doc__ or ""
        for part in ("**Conventions**", "**Differs from**", "Source:", "Degenerate cases:"):
            assert part in text, f"{method.name}: {part}"


def test_the_registry_is_json():
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
