"""Every method and dialect by value: fields, ranges, terms, facts, peers, what a field changes.

    UPDATE_VALUES=1 pytest tests/contracts/test_values.py

writes `values.json` anew, to be looked at and committed. No number in it is worked by hand: tests
of the methods do that. It says that a default, a fact or a number of a dialect changed, which no
rule of the contract would notice.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from by_value import unchanged
from crediting import credit
from method_contract import NAMES, accepted, advantages, frame

from workbench.errors import ParameterError
from workbench.log.credit import Credit
from workbench.log.schema import validate
from workbench.log.steps import Steps
from workbench.methods import METHODS, create
from workbench.parameters import FieldSpec, fields

VALUES = Path(__file__).with_name("values.json")


@cache
def steps() -> Steps:
    """Two groups of four rollouts of which some actions are invalid and one is not counted."""
    counted = pl.col("trajectory_id") != "g1t3"
    log = frame(9, groups=2, rollouts=4).with_columns(in_group_statistics=counted)
    return Steps.from_log(validate(log).log)


def numbers(found: Credit) -> dict[str, Any]:
    """Terms of all steps; facts of three; how many peers those have, and the largest weight."""
    chosen = {
        step: found.explain(step) for step in (0, len(found.steps) // 2, len(found.steps) - 2)
    }
    return {
        "terms": {name: term.value.tolist() for name, term in found.terms.items()},
        "outputs": {
            name: values.tolist()
            for term in found.terms.values()
            for name, values in term.outputs.items()
        },
        "facts": {step: dict(one.facts) for step, one in chosen.items()},
        "peers": {
            step: [one.peers.height, one.peers["weight"].max()] for step, one in chosen.items()
        },
    }


def others(spec: FieldSpec) -> Iterator[Any]:
    """Other values of a field than its default: all choices, or a larger and a smaller number."""
    if spec.choices:
        yield from (choice for choice in spec.choices if choice != spec.default)
    elif spec.type is bool:
        yield not spec.default
    elif spec.type is int:
        yield (spec.default or 0) + 1
    elif spec.type is float:
        start = 0.5 if spec.default is None else spec.default
        yield min(start * 0.5 + 0.125, spec.metadata.get("max", 10.0))


def changed(name: str, penalty: dict[str, Any]) -> dict[str, Any]:
    """Every other step's advantage under another value of each field, where it is another one."""
    plain = credit(steps(), name, **penalty).advantage[::2].tolist()
    found: dict[str, Any] = {}
    for spec in fields(METHODS[name].cls).values():
        for value in others(spec):
            try:
                under = credit(steps(), name, **{**penalty, spec.name: value})
                advantage: Any = under.advantage[::2].tolist()
            except ParameterError as refused:
                advantage = str(refused)
            if advantage != plain:
                found[f"{spec.name}={value}"] = advantage
    return found


def ranges(name: str) -> dict[str, Any]:
    """Smallest and largest value of each field that has one, and whether the smallest is out."""
    return {
        spec.name: [spec.metadata.get(limit) for limit in ("min", "max", "min_exclusive")]
        for spec in fields(METHODS[name].cls).values()
        if {"min", "max"} & spec.metadata.keys()
    }


def dialect(name: str) -> dict[str, Any]:
    """Description of a dialect besides its fields."""
    method, _, own = name.partition(":")
    entry = METHODS[method].dialects[own]
    return {"invalid_penalty": entry.invalid_penalty, "traits": sorted(entry.traits)}


@pytest.mark.parametrize("name", NAMES)
def test_every_method_gives_what_it_gave(name: str):
    penalty = accepted(name, invalid_penalty=0.125)
    found = {"fields": create(name).values, **numbers(credit(steps(), name, **penalty))}
    if ":" in name:
        found |= {"dialect": dialect(name)}
    else:
        found |= {"ranges": ranges(name), "changed": changed(name, penalty)}
    unchanged(VALUES, found, name)


# Dialects set fields that others have too; their numbers are above.
PENALISED = [name for name in METHODS if accepted(name, invalid_penalty=1.0)]


@pytest.mark.parametrize("name", PENALISED)
def test_an_invalid_action_is_charged(name: str):
    # The first step of the best rollout, an action of its own in a state that all have met.
    first = pl.col("step_index") == 0
    invalid = first & (pl.col("trajectory_id") == "g0t3")
    log = frame(9, groups=1, rollouts=4).with_columns(
        reward=pl.col("reward") * pl.col("trajectory_id").rank("dense"),
        observation=pl.when(first).then(pl.lit("a room")).otherwise("observation"),
        action=pl.when(invalid).then(pl.lit("leap")).otherwise("action"),
        valid_action=~invalid,
    )
    norm = {"norm": "none"} if name == "gagpo" else {}  # a deviation may shrink with the penalty
    free, charged = (
        advantages(log, name, invalid_penalty=penalty, **norm).filter(invalid)["advantage"][0]
        for penalty in (0.0, 0.125)
    )
    assert charged < free - 1e-3
