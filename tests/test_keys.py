"""Keys by text, by history and by tool calls, and what a key makes of a log."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, random_log, rows, steps

from workbench.errors import ParameterError, UnknownNameError
from workbench.log.schema import validate
from workbench.log.steps import Index, Steps
from workbench.states.keys import ACTION_KEYS, STATE_KEYS, parse_action_key, parse_state_key
from workbench.states.keys.report import key_report, key_table
from workbench.states.keys.tools import tool_calls
from workbench.states.space import Space


def states(steps: Steps, spec: str) -> list[int]:
    return Space(steps, embedder="tfidf").state_key(spec).tolist()


def actions(steps: Steps, spec: str) -> list[int]:
    return Space(steps, embedder="tfidf").action_key(spec).tolist()


def one(*texts: str) -> Described:
    """One trajectory that sees these texts."""
    return {"g": {"t": [(text, "x", 0.0) for text in texts]}}


def acted(*texts: str) -> Described:
    """One trajectory that acts like this."""
    return {"g": {"t": [("o", text, 0.0) for text in texts]}}


def refines(fine: Index, coarse: Index) -> bool:
    """Whether steps that share a label of the first share one of the second."""
    return len(np.unique(np.stack([fine, coarse]), axis=1).T) == len(np.unique(fine))


def exact_key(steps: Steps) -> Index:
    return Space(steps, embedder="tfidf").state_key("exact")


TWO: Described = {
    "g": {
        "t0": [("hall", "x", 0.0), ("door", "x", 0.0), ("hall", "x", 0.0)],
        "t1": [("door", "x", 1.0)],
    },
    "h": {"t2": [("hall", "x", 0.0), ("door ", "x", 1.0)]},
}


def test_equal_texts_of_a_group_share_a_key_numbered_as_first_met() -> None:
    # hall 0, door 1; the other group has its own hall, and "door " with a blank is another text.
    assert exact_key(steps(TWO)).tolist() == [0, 1, 0, 1, 2, 3]
    assert exact_key(steps(TWO)).dtype == np.int64


def test_texts_are_compared_character_for_character() -> None:
    texts = ["Door", "door", "door\n", "", " ", "dóor", "do\u0301or", "door"]
    described: Described = {"g": {"t": [(text, "x", 0.0) for text in texts]}}
    assert exact_key(steps(described)).tolist() == [0, 1, 2, 3, 4, 5, 6, 1]


def test_a_logged_state_key_stands_in_for_the_observation() -> None:
    # Both halls of t0 differ by key; t1's door has the key of the first hall.
    keyed = steps(TWO, state_key=["1", "2", "3", "1", "1", "1"])
    assert exact_key(keyed).tolist() == [0, 1, 2, 0, 3, 3]


def test_steps_without_a_state_key_keep_their_observation() -> None:
    keyed = steps(TWO, state_key=["k", None, "k", None, None, "k"])
    assert exact_key(keyed).tolist() == [0, 1, 0, 1, 2, 3]


def test_a_state_key_is_never_taken_for_an_observation_of_the_same_text() -> None:
    # Step 1 is seen as "door"; step 0's key is the text "door".
    keyed = steps(TWO, state_key=["door", None, None, None, None, None])
    assert exact_key(keyed).tolist() == [0, 1, 2, 1, 3, 4]


def test_a_state_key_of_another_type_is_read_as_text() -> None:
    assert exact_key(steps(TWO, state_key=[1, 2, 3, 1, 1, 1])).tolist() == [0, 1, 2, 0, 3, 3]


def test_excluded_steps_have_no_key() -> None:
    left = steps(TWO, reward=[None, 0.0, 0.0, 1.0, 0.0, 1.0])
    assert exact_key(left).tolist() == [0, 1, 2]


@settings(deadline=None, max_examples=60)
@given(described_logs(texts="abc"), st.data())
def test_two_steps_share_a_key_if_and_only_if_group_and_text_are_equal(
    described: Described, data: st.DataObject
) -> None:
    size = len(steps(described))
    logged = data.draw(st.lists(st.sampled_from([None, "a", "k"]), min_size=size, max_size=size))
    found = steps(described, state_key=logged)
    key, observation, logged = (
        exact_key(found),
        found.column("observation"),
        found.column("state_key"),
    )
    state = [
        (group, seen if kept is None else kept, kept is None)
        for group, seen, kept in zip(found.group, observation, logged, strict=True)
    ]
    numbers: dict[object, int] = {}
    assert key.tolist() == [numbers.setdefault(one, len(numbers)) for one in state]


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


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.text(st.sampled_from("aA 1\n.é"), max_size=6), min_size=1, max_size=8),
    st.tuples(st.booleans(), st.booleans(), st.booleans()),
)
def test_normalised_is_coarser_than_exact_and_coarser_with_each_setting(
    texts: list[str], chosen: tuple[bool, bool, bool]
) -> None:
    found = steps(one(*texts))
    spec = "normalised:" + json.dumps(
        dict(zip(("case", "whitespace", "numbers"), chosen, strict=True))
    )
    every = "normalised:numbers=true"
    assert refines(exact_key(found), np.array(states(found, spec)))
    assert refines(np.array(states(found, spec)), np.array(states(found, every)))


def test_normalised_by_hand() -> None:
    texts = ["Door  open", "door open\n", "door 1", "door 2", "at 2024-01-02 03:04:05", "at *"]
    assert states(steps(one(*texts)), "normalised") == [0, 0, 1, 2, 3, 3]
    assert states(steps(one(*texts)), "normalised:numbers=true") == [0, 0, 1, 1, 2, 2]
    plain = "normalised:case=false,whitespace=false,volatile="
    assert states(steps(one(*texts)), plain) == [0, 1, 2, 3, 4, 5]


def test_volatile_patterns_take_out_budgets_addresses_and_durations_but_no_dates() -> None:
    pairs = [
        ("You have 4 steps left and 2 chances left.", "You have 3 steps left and 1 chances left."),
        ("<f at 0x7f00aa>", "<f at 0x7f00bb>"),
        ("3 passed in 0.12s", "3 passed in 4.5s"),
        ("see /tmp/a1/x.log", "see /tmp/b2/x.log"),
        ("id 123e4567-e89b-12d3-a456-426614174000", "id 123e4567-e89b-12d3-a456-426614174001"),
    ]
    for left, right in pairs:
        assert states(steps(one(left, right)), "normalised") == [0, 0]
    assert states(steps(one("on 2024-05-20", "on 2024-05-21")), "normalised") == [0, 1]


def test_volatile_patterns_are_the_users_to_set() -> None:
    spec = 'normalised:{"volatile": "order-[a-z]+"}'
    assert states(steps(one("order-a ok", "order-b ok", "order-b no")), spec) == [0, 0, 1]
    with pytest.raises(ParameterError, match=r"volatile: '\[' is no regular .*unclosed character"):
        parse_state_key("normalised:volatile=[")


def test_normalised_leaves_a_logged_state_key_alone() -> None:
    keyed = steps(one("x", "x", "X"), state_key=["A", "a", None])
    assert states(keyed, "normalised") == [0, 1, 2]


def test_history_by_hand() -> None:
    # t0 sees a b a b, t1 sees b a: pairs (-, a) (a, b) (b, a) (a, b) and (-, b) (b, a).
    described: Described = {
        "g": {
            "t0": [(text, act, 0.0) for text, act in zip("abab", "xyxz", strict=True)],
            "t1": [(text, "q", 0.0) for text in "ba"],
        }
    }
    assert states(steps(described), "history") == [0, 1, 2, 1, 3, 2]
    # Three: - - a, - a b, a b a, b a b, - - b, - b a.
    assert states(steps(described), "history:length=3") == [0, 1, 2, 3, 4, 5]
    assert states(steps(described), "history:length=1") == [0, 1, 0, 1, 1, 0]
    # With the action between: x leads to both b of t0; y leads to t0's a, q to t1's.
    assert states(steps(described), "history:actions=true") == [0, 1, 2, 1, 3, 4]


@settings(deadline=None, max_examples=30)
@given(described_logs(texts="ab"), st.integers(1, 4))
def test_a_longer_history_refines_a_shorter_one(described: Described, length: int) -> None:
    found = steps(described)
    shorter = np.array(states(found, f"history:length={length}"))
    longer = np.array(states(found, f"history:length={length + 1}"))
    assert refines(longer, shorter)
    assert refines(shorter, exact_key(found))


CALL = '{"name": "go", "arguments": {"a": 1, "b": [2]}}'


def test_tool_calls_are_the_same_whatever_their_spelling() -> None:
    same = [
        CALL,
        '{"arguments": {"b": [2], "a": 1},   "name": "go"}',
        'I go now.\n{"name": "go", "arguments": "{\\"b\\": [2], \\"a\\": 1}"}',
        '<tool_call>\n{"name": "go", "parameters": {"b": [2], "a": 1}}\n</tool_call>',
        '{"type": "function", "function": {"name": "go", "arguments": {"a": 1, "b": [2]}}}',
        '{\n "name": "go",\n "arguments": {"a": 1, "b": [2]}\n}',
    ]
    assert actions(steps(acted(*same)), "tool") == [0] * len(same)
    other = CALL.replace("1", "2")
    assert actions(steps(acted(CALL, other, f"{CALL}\n{other}")), "tool") == [0, 1, 2]


def test_actions_without_a_call_are_compared_by_text_or_are_all_the_same() -> None:
    found = steps(acted("Hello", "Goodbye", CALL, "Hello", '{"price": 3}'))
    assert actions(found, "tool") == [0, 1, 2, 0, 3]
    assert actions(found, "tool:without_call=same") == [0, 0, 1, 0, 0]


@pytest.mark.parametrize(
    "text", ["", "{", "[1, 2]", '{"name": "x"}', "null", '{"name": 3}', "[" * 9999]
)
def test_what_is_no_call_is_none(text: str) -> None:
    assert tool_calls(text) == []


def test_a_tool_state_is_the_result_and_what_was_called() -> None:
    described: Described = {
        "g": {
            "t0": [("hi", CALL, 0.0), ('[tool:go] {"x": 1, "y": 2}', "bye", 0.0)],
            "t1": [("hi", CALL, 0.0), ('[tool:go] {"y": 2, "x": 1}', "bye", 0.0)],
            "t2": [("hi", "nothing", 0.0), ('[tool:go] {"y": 2, "x": 1}', "bye", 0.0)],
        }
    }
    assert states(steps(described), "tool") == [0, 1, 0, 1, 0, 2]
    assert states(steps(described), "tool:call=false") == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("spec", ACTION_SPECS)
def test_action_labels_stay_inside_groups(spec: str) -> None:
    found = Steps.from_log(random_log(np.random.default_rng(0), groups=4))
    assert refines(np.array(actions(found, spec)), found.group)


def test_specs_are_read_with_their_settings() -> None:
    assert parse_state_key("history:length=4").length == 4
    assert parse_state_key('history:{"length": 4, "of": "similar:threshold=0.8"}').of == (
        "similar:threshold=0.8"
    )
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


def test_a_report_counts_labels_singletons_and_what_merges_or_splits() -> None:
    # Exact: hall (3, of two trajectories), Hall, door. Normalised: hall (4), door.
    described: Described = {
        "g": {
            "t0": [("hall", "x", 0.0), ("Hall", "x", 0.0), ("door", "x", 0.0)],
            "t1": [("hall", "x", 0.0), ("hall", "y", 0.0)],
        }
    }
    space = Space(steps(described), embedder="tfidf")
    report = key_report(space, "normalised")
    assert (report.steps, report.labels, report.plain_labels, report.split) == (5, 2, 3, 0)
    assert (report.singleton_rate, report.plain_singleton_rate) == (0.2, 0.4)
    assert report.one_trajectory_rate == 0.2
    (row,) = report.merged.to_dicts()
    assert row == {
        "label": 0,
        "group_id": "g",
        "steps": 4,
        "trajectories": 2,
        "distinct": 2,
        "texts": ["hall", "Hall"],
    }
    assert report.largest["steps"].to_list() == [4, 1]
    # By pairs of states hall falls into (-, hall), (hall, hall); Hall and door stay whole.
    history = key_report(space, "history")
    assert (history.labels, history.split, history.merged.height) == (4, 1, 0)
    acts = key_report(space, "text", "action")
    assert (acts.labels, acts.singleton_rate, acts.largest["texts"][0].to_list()) == (2, 0.2, ["x"])
    assert json.loads(json.dumps(report.to_dict(1)))["merged"] == [row]


def test_every_key_says_in_one_line_what_is_the_same() -> None:
    for row in [*key_table("state"), *key_table("action")]:
        assert row["what is the same"].endswith("."), row


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
