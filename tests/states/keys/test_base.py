"""Properties of every key, and the names of keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from by_value import unchanged
from hypothesis import given, settings
from hypothesis import strategies as st
from keyed import actions, one, refines, states
from logs import Described, described_logs, random_log, rows, steps

from workbench.errors import ParameterError, UnknownNameError
from workbench.log.schema import validate
from workbench.log.steps import Index, Steps
from workbench.parameters import fields
from workbench.states.keys import ACTION_KEYS, STATE_KEYS, parse_action_key, parse_state_key
from workbench.states.keys.history import History

STATE_SPECS = [*STATE_KEYS, "normalised:numbers=true", "history:length=3,of=normalised"]
STATE_SPECS += ["similar:threshold=0.5,linkage=complete", "history:actions=true", "tool:call=false"]
OF_THE_TEXTS = [spec for spec in STATE_SPECS if spec != "first-fit"]  # it reads the rows' order
ACTION_SPECS = [*ACTION_KEYS, "tool:without_call=same"]


@pytest.mark.parametrize("spec", STATE_SPECS)
def test_labels_stay_inside_groups_and_are_numbered_as_first_met(spec: str) -> None:
    found = Steps.from_log(random_log(np.random.default_rng(0), groups=4, max_length=6))
    key = np.array(states(found, spec))
    numbers: dict[int, int] = {}
    assert key.tolist() == [numbers.setdefault(label, len(numbers)) for label in key.tolist()]
    assert refines(key, found.group)


@pytest.mark.parametrize("spec", STATE_SPECS)
def test_a_group_has_the_same_partition_alone_and_in_any_order_of_rows(spec: str) -> None:
    log = random_log(np.random.default_rng(1), groups=3, rollouts=5)
    whole = Steps.from_log(log)
    key = np.array(states(whole, spec))
    alone = Steps.from_log(log.filter(pl.col("group_id") == "g1"))
    of_group = key[whole.group == 1]
    assert (of_group - of_group.min()).tolist() == states(alone, spec)
    if spec in OF_THE_TEXTS:
        shuffled = log.drop("source_row", "excluded").sample(fraction=1, shuffle=True, seed=3)
        assert key.tolist() == states(Steps.from_log(validate(shuffled).log), spec)


@settings(deadline=None, max_examples=25)
@given(described_logs(texts="abcd"), st.permutations(range(4)), st.sampled_from(OF_THE_TEXTS))
def test_renaming_trajectories_changes_no_partition(
    described: Described, order: list[int], spec: str
) -> None:
    renamed = {
        group: {f"{name[:-1]}{order[int(name[-1])]}": of for name, of in trajectories.items()}
        for group, trajectories in described.items()
    }
    one_way, other_way = steps(described), steps(renamed)
    of = {
        (group, f"{name[:-1]}{order[int(name[-1])]}"): (group, name)
        for group, trajectories in described.items()
        for name in trajectories
    }

    def by_step(found: Steps, names: dict[tuple[str, str], tuple[str, str]] | None) -> Index:
        log = found.log.with_columns(label=pl.Series(states(found, spec)))
        ids = [(row["group_id"], row["trajectory_id"]) for row in log.to_dicts()]
        places = [names[one] if names else one for one in ids]
        order = sorted(range(log.height), key=lambda k: (places[k], log["step_index"][k]))
        return log["label"].to_numpy()[order]

    left, right = by_step(one_way, None), by_step(other_way, of)
    assert refines(left, right)
    assert refines(right, left)


@pytest.mark.parametrize("spec", ACTION_SPECS)
def test_action_labels_stay_inside_groups(spec: str) -> None:
    found = Steps.from_log(random_log(np.random.default_rng(0), groups=4))
    assert refines(np.array(actions(found, spec)), found.group)


def test_specs_are_read_with_their_settings() -> None:
    short = parse_state_key("history:length=4")
    assert isinstance(short, History)
    assert short.length == 4
    similar = parse_state_key('history:{"length": 4, "of": "similar:threshold=0.8"}')
    assert isinstance(similar, History)
    assert similar.of == "similar:threshold=0.8"
    assert parse_state_key("history:of=similar").needs() == ("similarity",)
    assert parse_state_key("history:of=exact").needs() == ()


def test_specs_that_mean_nothing_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'exact'"):
        parse_state_key("exakt")
    with pytest.raises(UnknownNameError, match=r"field of state key history 'len'.*'length'"):
        parse_state_key("history:len=2")
    with pytest.raises(ParameterError, match=r"length must be in \[1, 1000\], got 0"):
        parse_state_key("history:length=0")
    with pytest.raises(ParameterError, match="of: unknown state key 'nonsense'"):
        parse_state_key("history:of=nonsense")
    with pytest.raises(ParameterError, match="expected field=value after the colon, got '2'"):
        parse_state_key("history:2")
    with pytest.raises(ParameterError, match="is not `name:"):
        parse_state_key('history:{"length"')
    with pytest.raises(UnknownNameError, match="unknown action key 'txt'"):
        parse_action_key("txt")


def test_a_log_of_one_row_has_one_label_under_every_key() -> None:
    alone = Steps.from_log(validate(rows(one("a mug"))).log)
    assert all(states(alone, spec) == [0] for spec in STATE_SPECS)
    assert all(actions(alone, spec) == [0] for spec in ACTION_SPECS)


@pytest.mark.parametrize(
    "spec",
    [
        "exact",
        "history:length=3",
        "similar:threshold=0.6",
        "similar:threshold=0.6,linkage=complete",
        'similar:{"embedder": "a,b"}',
        'similar:{"embedder": "1"}',
    ],
)
def test_the_spec_of_a_key_is_parsed_to_the_key(spec: str) -> None:
    key = parse_state_key(spec)
    assert key.spec == spec
    assert parse_state_key(key.spec) == key


def test_fields_of_keys_have_the_defaults_and_ranges_that_they_had() -> None:
    # UPDATE_VALUES=1 writes the file anew, to be looked at and committed.
    found = {
        f"{kind} {name}": {
            spec.name: [
                spec.default,
                list(spec.choices or ()),
                *(spec.metadata.get(limit) for limit in ("min", "max", "min_exclusive")),
            ]
            for spec in fields(cls).values()
        }
        for kind, registered in (("state", STATE_KEYS), ("action", ACTION_KEYS))
        for name, cls in registered.items()
    }
    unchanged(Path(__file__).with_name("fields.json"), found)


@pytest.mark.parametrize(
    ("spec", "looks_back"),
    [
        ("history", True),
        ("history:length=1", False),
        ("history:length=1,actions=true", False),
        ("history:length=1,of=history", True),
    ],
)
def test_a_history_looks_back_where_it_is_longer_than_the_present(
    spec: str, looks_back: bool
) -> None:
    assert parse_state_key(spec).looks_back() is looks_back
