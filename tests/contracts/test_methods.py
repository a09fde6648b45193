"""The contract of every method, and what the registry says about it.

Each method and each dialect is run at its own fields. A dialect that breaks a rule of the contract
declares the trait that says so; here the rule holds for all others, and is shown broken for it.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from crediting import credit
from logs import rows
from method_contract import (
    NAMES,
    RULES,
    Rule,
    accepted,
    advantages,
    every_trait_is_known_and_every_method_says_its_formula_and_conventions,
    frame,
    having,
    of_first_batch,
    paid_equally,
    renamed,
    scaling,
    the_registry_is_json,
    traits,
    with_a_dead_group,
    with_another_batch,
)
from narrow import number

from workbench.errors import ParameterError, UnknownNameError
from workbench.methods import METHODS, create

UPDATE = pl.col("group_id").str.slice(1).cast(pl.Int64)
"""One update a group."""


@pytest.mark.parametrize(
    ("rule", "name", "arguments"),
    [
        pytest.param(
            rule,
            name,
            arguments,
            id="-".join([rule.check.__name__, name, *map(str, arguments.values())]),
        )
        for rule in RULES
        for name in rule.names
        for arguments in rule.arguments
    ],
)
def test_every_method_holds(rule: Rule, name: str, arguments: dict[str, object]):
    rule.check(name, **arguments)


DIGESTS = """
import hashlib, json, sys
from method_contract import NAMES, advantages, frame
log = frame()
bytes_of = lambda name: advantages(log, name)["advantage"].to_numpy().tobytes()
json.dump({name: hashlib.sha256(bytes_of(name)).hexdigest() for name in NAMES}, sys.stdout)
"""


def test_methods_give_equal_bytes_under_any_hash_seed_and_thread_count():
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS")
    places = os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])
    found = [
        subprocess.run(
            [sys.executable, "-c", DIGESTS],
            env=os.environ
            | dict.fromkeys(threads, str(number))
            | {"PYTHONHASHSEED": seed, "PYTHONPATH": places},
            check=True,
            capture_output=True,
        ).stdout
        for number, seed in ((1, "0"), (2, "1"))
    ]
    one, other = map(json.loads, found)
    assert one.keys() == set(NAMES)
    assert {name for name in NAMES if one[name] != other[name]} == set()


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


@pytest.mark.parametrize("name", having("row-order"))
def test_row_order_matters_where_the_trait_says_so(name: str):
    # Long texts that differ in a word or two: near enough for clusters that depend on the order.
    before = (
        "You look around the kitchen, and among all the things in it there is one that counts: "
    )
    log = frame().with_columns(observation=before + pl.col("observation"))
    last_first = log.reverse()
    penalty = accepted(name, invalid_penalty=0.1)
    assert not advantages(log, name, **penalty).equals(advantages(last_first, name, **penalty))


@pytest.mark.parametrize("name", having("couples-groups"))
def test_groups_are_coupled_where_the_trait_says_so(name: str):
    # One group is dead, which GPG makes up for.
    alive = pl.col("group_id") != "g1"
    log = frame().with_columns(reward=pl.col("reward") * alive)
    whole = advantages(log, name)
    alone = pl.concat(
        advantages(of_group, name) for of_group in log.partition_by("group_id", maintain_order=True)
    )
    assert np.abs(whole["advantage"].to_numpy() - alone["advantage"].to_numpy()).max() > 1e-3


@pytest.mark.parametrize("name", having("couples-groups"))
def test_groups_are_coupled_inside_their_batch_alone(name: str):
    # Each group is an update of its own, so there is nothing left to be coupled with.
    alive = pl.col("group_id") != "g1"
    log = frame().with_columns(reward=pl.col("reward") * alive, train_step=UPDATE)
    whole = advantages(log, name).filter(pl.col("group_id") == "g0")
    assert whole.equals(advantages(log.filter(pl.col("group_id") == "g0"), name))


def test_earlier_batches_matter_where_the_trait_says_so():
    alone, both = with_another_batch("r", 0)
    for name in having("couples-batches"):
        assert not of_first_batch(both, name).equals(advantages(alone, name))


def test_a_method_knows_whether_its_fields_couple_batches():
    for name in NAMES:
        assert create(name).couples_batches() == ("couples-batches" in traits(name)), name
    assert create("rae", {"carry": True}).couples_batches()
    assert not create("history-gae", {"pool": 0.0}).couples_batches()
    assert create("salt", {"of": "history-gae"}).couples_batches()


@pytest.mark.parametrize("name", having("ignores-rewards"))
def test_rewards_do_not_matter_where_the_trait_says_so(name: str):
    log = frame()
    paid = log.with_columns(reward=pl.col("reward") + pl.col("step_index"))
    assert advantages(log, name).equals(advantages(paid, name))


@pytest.mark.parametrize("name", having("credits-equal-rewards"))
def test_equal_rewards_get_credit_where_the_trait_says_so(name: str):
    first = frame().filter(pl.col("step_index") == 0)
    assert (advantages(paid_equally(first, 1.0), name)["advantage"] != 0.0).any()


@pytest.mark.parametrize("name", having("credits-dead-groups"))
def test_a_dead_group_gets_credit_where_the_trait_says_so(name: str):
    found = advantages(with_a_dead_group(), name)
    assert number(found.filter(pl.col("group_id") == "g1")["advantage"].abs().max()) > 1e-2


@pytest.mark.parametrize("name", having("charges-length"))
def test_a_longer_reply_gets_less_where_the_trait_says_so(name: str):
    log = frame()
    own = pl.col("trajectory_id") == log.filter(pl.col("reward") > 0)["trajectory_id"][0]
    end = own & (pl.col("step_index") == pl.col("step_index").max().over("trajectory_id"))
    longer = log.with_columns(
        response_tokens=pl.col("response_tokens") + pl.when(end).then(40).otherwise(0),
        response_ids=pl.when(end)
        .then(pl.concat_list("response_ids", pl.lit([0] * 40)))
        .otherwise("response_ids"),
    )
    before, after = (advantages(each, name).filter(own)["advantage"][0] for each in (log, longer))
    assert after < before


@pytest.mark.parametrize("name", having("mixed-scale"))
def test_a_part_of_the_credit_scales_where_the_trait_says_so(name: str):
    assert scaling(name) == "part"


def test_the_step_term_of_bipace_q_scales_and_its_episode_term_does_not():
    log = frame()
    one, ten = (
        credit(log.with_columns(reward=factor * pl.col("reward")), "bipace-q").terms
        for factor in (1.0, 10.0)
    )
    np.testing.assert_allclose(ten["step"].value, 10.0 * one["step"].value, atol=1e-12)
    np.testing.assert_allclose(ten["episode"].value, one["episode"].value, atol=1e-4)
    assert np.abs(one["step"].value).max() > 0.1


@pytest.mark.parametrize("name", having("depends-on-ids"))
def test_ids_matter_where_the_trait_says_so(name: str):
    log = frame()
    ids = ("group_id", "trajectory_id", "step_index")
    joined = renamed(advantages(log, name)).join(advantages(renamed(log), name), on=ids)
    assert joined.height == log.height
    assert number((joined["advantage"] - joined["advantage_right"]).abs().max()) > 1e-3


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
    assert number(changed.abs().max()) > 1e-3


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
    assert create("proxmo", {"temperature": 1}).values["temperature"] == 1.0
    with pytest.raises(ParameterError):
        create("proxmo", {"temperature": True})


def test_every_trait_is_known_and_every_method_says_its_formula_and_conventions():
    every_trait_is_known_and_every_method_says_its_formula_and_conventions()


def test_the_registry_is_json():
    the_registry_is_json()


STOPPING = tuple(itertools.product((1, 2), (0.0, 1.0)))
"""A rollout that stops at once or after a second turn, and fails or wins by a coin."""


def stopping_log() -> pl.DataFrame:
    """Every group of three such rollouts once, so that means over groups are expectations.

    The outcome has nothing to do with stopping, so neither action at the first turn is better.
    """
    return pl.DataFrame(
        [
            {
                "group_id": f"g{group}",
                "trajectory_id": f"g{group}t{number}",
                "step_index": turn,
                "observation": "a room",
                "action": "stop" if turn == length - 1 else "go on",
                "reward": reward * (turn == length - 1),
                "train_step": group,
            }
            for group, members in enumerate(itertools.product(STOPPING, repeat=3))
            for number, (length, reward) in enumerate(members)
            for turn in range(length)
        ]
    )


def bias_of_going_on(name: str, **params: object) -> float:
    """Expected credit of going on at the first turn less that of stopping; the truth is 0."""
    log = stopping_log()
    first = advantages(log, name, gamma=1.0, **params).hstack(
        log.sort("group_id", "trajectory_id", "step_index").select("action")
    )
    first = first.filter(pl.col("step_index") == 0)
    going, stopping = (
        number(first.filter(pl.col("action") == action)["advantage"].mean())
        for action in ("go on", "stop")
    )
    return going - stopping


@pytest.mark.parametrize("name", having("counts-own-turns"))
def test_going_on_is_charged_where_the_trait_says_so(name: str):
    assert bias_of_going_on(name) < -0.1


@pytest.mark.parametrize("name", having("position-baseline"))
def test_a_late_turn_is_compared_with_survivors_under_the_trait(name: str):
    # c ends at the first turn: what it got changes the first turn of a, and the second not at all.
    def of_a(reward: float) -> list[float]:
        a, b = [("x", "p", 0.0), ("x", "p", 1.0)], [("x", "p", 0.0), ("x", "p", 0.0)]
        found = credit(rows({"g": {"a": a, "b": b, "c": [("x", "p", reward)]}}), name)
        parts = [term.value for key, term in found.terms.items() if key != "episode"]
        return np.sum(parts, axis=0)[:2].tolist()

    (first, second), (changed, same) = of_a(0.0), of_a(1.0)
    assert second == same
    assert first != pytest.approx(changed)


@pytest.mark.parametrize("name", having("position-baseline"))
def test_a_baseline_of_positions_puts_no_price_on_going_on(name: str):
    # What the others got at a turn is the same whatever the rollout itself does there.
    params = accepted(name, psc="off", episode_norm="mean")
    assert bias_of_going_on(name, **params) == pytest.approx(0.0, abs=1e-12)


def test_a_method_knows_which_of_the_traits_of_turns_its_fields_have():
    of_turns = {"position-baseline", "counts-own-turns"}
    for name in NAMES:
        found = create(name).turn_baseline()
        assert traits(name) & of_turns == ({found} if found else set()), name
    assert create("proxmo", {"peers": "same_step"}).turn_baseline() == "position-baseline"
    assert create("igpo", {"baseline": "start"}).turn_baseline() is None
    assert create("salt", {"of": "igpo"}).turn_baseline() == "counts-own-turns"
