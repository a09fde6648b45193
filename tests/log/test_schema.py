from __future__ import annotations

import datetime as dt
import io
import pickle
from random import Random
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from logs import Described, described_logs, log, random_log, rows
from polars.testing import assert_frame_equal

from workbench.errors import LogError, ParameterError, Problem, UnknownNameError, WorkbenchError
from workbench.log.columns import STEP_LOG, column_table, known
from workbench.log.schema import Validated, rename, validate

# Rows 0 and 1 are t0, rows 2 and 3 are t1.
TWO: Described = {
    "g": {
        "t0": [("door", "open", 0.0), ("room", "look", 1.0)],
        "t1": [("door", "knock", 0.0), ("door", "open", 0.0)],
    }
}

GAP = "step_index: has gaps, at {}. Hint: steps of a trajectory must be contiguous"
START = "step_index: does not begin with 0, at {}. Hint: step_index is 0-based"
TWO_GROUPS = (
    "trajectory_id: is in more than one group, at {}. "
    "Hint: trajectory ids must be unique in a log; prefix them with the group"
)
CONFLICT = (
    "step_index: appears twice in a trajectory with different content, at {}. "
    "Hint: identical rows are collapsed; different ones need their own trajectory_id; rollouts of "
    "several updates need the update in group_id, or its key named train_step (--map)"
)


def problems_of(frame: pl.DataFrame) -> list[str]:
    with pytest.raises(LogError) as caught:
        validate(frame)
    return [str(problem) for problem in caught.value.problems]


def ipc_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.rechunk().write_ipc(buffer)
    return buffer.getvalue()


def test_smallest_log_gets_defaults_and_canonical_columns() -> None:
    result = validate(rows({"g": {"t": [("door", "open", 1.0)]}}))
    assert result.log.to_dicts() == [
        {
            "group_id": "g",
            "trajectory_id": "t",
            "step_index": 0,
            "observation": "door",
            "action": "open",
            "reward": 1.0,
            "valid_action": True,
            "gradient_mask": True,
            "in_group_statistics": True,
            "copies": 1,
            "source_row": 0,
            "excluded": None,
        }
    ]
    assert result.problems == ()
    assert result.notices == ()
    assert result.renamed == {}
    assert result.quarantined.height == 0


def test_every_known_column_has_its_declared_type() -> None:
    result = log(
        TWO, train_step=pl.Series([1, 1, 1, 1], dtype=pl.UInt8), prompt_ids=[[1], [], [2], [3]]
    )
    for name, dtype in result.schema.items():
        column = known(name)
        assert column is not None
        assert dtype == column.dtype, name


def test_columns_are_in_the_order_of_the_step_log_and_unknown_ones_last() -> None:
    frame = rows(TWO, zebra=1, aux_reward_b=0.5, task="t", aux_reward_a=0.25, apple=[1, 2, 3, 4])
    names = validate(frame.select(sorted(frame.columns, reverse=True))).log.columns
    in_order = [c.name for c in STEP_LOG if c.name in names]
    assert [name for name in names if name in in_order] == in_order
    assert names[-2:] == ["zebra", "apple"]


def test_unknown_columns_keep_their_values_and_type() -> None:
    result = log(TWO, note=["a", None, "c", "d"], nested=[[1], [2, 3], [], None])
    assert result["note"].to_list() == ["a", None, "c", "d"]
    assert result["nested"].to_list() == [[1], [2, 3], [], None]
    assert result.schema["nested"] == pl.List(pl.Int64)


def test_rows_are_sorted_by_group_trajectory_and_step() -> None:
    groups: Described = {
        "b": {"z": [("s", "a", 0.0)] * 12, "y": [("s", "a", 0.0)]},
        "a": {"t10": [("s", "a", 0.0)], "t2": [("s", "a", 0.0)]},
    }
    result = validate(rows(groups).reverse()).log
    # Ids are texts, so t10 comes before t2; step indices are numbers, so 2 comes before 10.
    assert result["trajectory_id"].to_list() == ["t10", "t2", "y", *["z"] * 12]
    assert result["step_index"].to_list() == [0, 0, 0, *range(12)]
    assert result["source_row"].to_list() == [1, 0, 2, *range(14, 2, -1)]


def test_source_row_is_the_row_position_unless_the_log_has_one() -> None:
    assert validate(rows(TWO).reverse()).log["source_row"].to_list() == [3, 2, 1, 0]
    assert log(TWO, source_row=[40, 30, 20, 10])["source_row"].to_list() == [40, 30, 20, 10]


@settings(deadline=None, max_examples=50)
@given(described_logs())
def test_a_validated_log_validates_to_the_same_bytes(described: Described) -> None:
    once = log(described)
    assert ipc_bytes(validate(once).log) == ipc_bytes(once)


def test_idempotence_holds_with_copies_exclusions_tokens_and_unknown_columns() -> None:
    frame = rows(
        TWO, reward=[0.0, None, 0.0, 1.0], masked=[0, 1, 0, 0], prompt_ids=[[1]] * 4, x="x"
    )
    once = validate(pl.concat([frame, frame]))
    assert once.log["copies"].to_list() == [2, 2, 2, 2]
    again = validate(once.log)
    assert ipc_bytes(again.log) == ipc_bytes(once.log)
    # What was done is said once; what is so is said every time.
    assert [notice.split(" (")[0] for notice in again.notices] == [
        "1 of 2 trajectories is excluded from scoring"
    ]


@settings(deadline=None, max_examples=50)
@given(described_logs(), st.randoms(use_true_random=False))
def test_row_order_changes_nothing_but_source_row(described: Described, random: Random) -> None:
    frame = rows(described)
    order = list(range(frame.height))
    random.shuffle(order)
    straight, shuffled = validate(frame), validate(frame[order])
    assert_frame_equal(straight.log.drop("source_row"), shuffled.log.drop("source_row"))
    # source_row says where a row stood: row k of the shuffled frame was row order[k].
    back = np.array(order)[shuffled.log["source_row"].to_numpy()]
    assert back.tolist() == straight.log["source_row"].to_list()


@settings(deadline=None, max_examples=50)
@given(described_logs(), st.randoms(use_true_random=False))
def test_row_order_changes_neither_copies_nor_notices_nor_exclusions(
    described: Described, random: Random
) -> None:
    frame = rows(described, episode_reward=99.0)
    frame = frame.with_columns(
        reward=pl.when(pl.int_range(pl.len()) % 5 == 3).then(None).otherwise("reward")
    )
    frame = pl.concat([frame, frame[::2]])
    order = list(range(frame.height))
    random.shuffle(order)
    straight, shuffled = validate(frame), validate(frame[order])
    assert_frame_equal(straight.log.drop("source_row"), shuffled.log.drop("source_row"))
    assert straight.notices == shuffled.notices
    assert straight.log["copies"].sum() == frame.height


def test_a_megabyte_observation_survives() -> None:
    text = "ä" * 500_000  # two bytes each
    assert log({"g": {"t": [(text, "go", 1.0)]}})["observation"].to_list() == [text]


def test_aliases_take_their_canonical_names() -> None:
    frame = rows(TWO).rename(
        {
            "group_id": "uid",
            "trajectory_id": "traj_uid",
            "step_index": "env_step",
            "observation": "anchor_obs",
            "reward": "rewards",
        }
    )
    result = validate(frame)
    assert_frame_equal(result.log, log(TWO))
    assert result.renamed == {
        "group_id": "uid",
        "trajectory_id": "traj_uid",
        "step_index": "env_step",
        "observation": "anchor_obs",
        "reward": "rewards",
    }


def test_every_alias_of_the_step_log_leads_to_its_column() -> None:
    values = {pl.Boolean(): True, pl.Int32(): 0, pl.Float64(): 0.5, pl.String(): "t0"}
    for column in STEP_LOG:
        for alias in column.aliases:
            frame = rows({"g": {"t0": [("door", "open", 0.5)]}}).drop(column.name, strict=False)
            frame = frame.with_columns(
                pl.lit(values[column.dtype], dtype=column.dtype).alias(alias)
            )
            if column.name == "copies":
                frame = frame.with_columns(pl.lit(2).alias(alias))
            result = validate(frame)
            assert result.renamed == {column.name: alias}
            assert result.log[column.name].to_list() == frame[alias].to_list()
            assert alias not in result.log.columns


def test_the_first_alias_present_is_taken_and_the_other_is_kept() -> None:
    frame = rows(TWO, action_valid=[True, True, False, True], is_action_valid=False)
    result = validate(frame)
    assert result.log["valid_action"].to_list() == [True, True, False, True]
    assert result.log["is_action_valid"].to_list() == [False] * 4
    assert result.renamed == {"valid_action": "action_valid"}


def test_an_alias_never_overwrites_the_canonical_column() -> None:
    result = validate(rows(TWO, uid="other"))
    assert result.log["group_id"].to_list() == ["g"] * 4
    assert result.log["uid"].to_list() == ["other"] * 4
    assert result.renamed == {}


@pytest.mark.parametrize(
    "masked", [[True, False, None, False], [1, 0, None, 0], [1.0, 0.0, None, 0.0]]
)
def test_masked_means_the_opposite_of_gradient_mask(masked: list[Any]) -> None:
    result = validate(rows(TWO, masked=masked))
    # Where nothing is said the default holds: the step takes part.
    assert result.log["gradient_mask"].to_list() == [False, True, True, True]
    assert result.renamed == {"gradient_mask": "masked"}
    assert "masked" not in result.log.columns


def test_masked_of_another_type_is_a_problem_and_not_a_crash() -> None:
    assert problems_of(rows(TWO, masked="maybe"))[0].startswith(
        "gradient_mask: is not a valid Boolean, at row 0 ('maybe'), row 1 ('maybe'), "
        "row 2 ('maybe') and 1 more. Hint: true or false, yes or no, 1 or 0; it is read from "
    )
    assert problems_of(rows(TWO, masked=[0.5, 1.0, 2.0, 0.0])) == [
        "gradient_mask: is not a valid Boolean, at row 0, row 2"
    ]


def test_truth_values_may_be_words() -> None:
    given = rows(TWO, done=["true", "No", None, " 0 "], masked=["yes", "false", None, "no"])
    log = validate(given).log
    assert log["done"].to_list() == [True, False, None, False]
    assert log["gradient_mask"].to_list() == [False, True, True, True]


def test_rename_does_first_what_it_is_told() -> None:
    frame = rows(TWO, score=[1.0, 2.0, 3.0, 4.0])
    renamed, names = rename(frame, {"reward": "score"})
    assert renamed["reward"].to_list() == [1.0, 2.0, 3.0, 4.0]
    assert "score" not in renamed.columns
    assert names == {"reward": "score"}


def test_rename_can_swap_two_columns() -> None:
    renamed, names = rename(rows(TWO), {"observation": "action", "action": "observation"})
    assert renamed["observation"].to_list() == rows(TWO)["action"].to_list()
    assert renamed["action"].to_list() == rows(TWO)["observation"].to_list()
    assert names == {"observation": "action", "action": "observation"}


def test_rename_to_its_own_name_is_no_renaming() -> None:
    renamed, names = rename(rows(TWO), {"reward": "reward"})
    assert_frame_equal(renamed, rows(TWO))
    assert names == {}


def test_rename_refuses_columns_that_are_not_there() -> None:
    with pytest.raises(ParameterError, match=r"names \['a', 'z'\], which the file does not have"):
        rename(rows(TWO), {"reward": "z", "task": "a", "action": "action"})


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        ("group_id", [7, 7, 7, 7], ["7"] * 4),
        (
            "trajectory_id",
            pl.Series(["a", "a", "b", "b"], dtype=pl.Categorical),
            ["a", "a", "b", "b"],
        ),
        (
            "trajectory_id",
            pl.Series(["a", "a", "b", "b"], dtype=pl.Enum(["b", "a"])),
            ["a", "a", "b", "b"],
        ),
        ("step_index", pl.Series([0, 1, 0, 1], dtype=pl.Int64), [0, 1, 0, 1]),
        ("step_index", pl.Series([0, 1, 0, 1], dtype=pl.UInt64), [0, 1, 0, 1]),
        ("step_index", [0.0, 1.0, 0.0, 1.0], [0, 1, 0, 1]),
        ("step_index", ["0", "1", "0", "1"], [0, 1, 0, 1]),
        ("reward", [True, False, True, True], [1.0, 0.0, 1.0, 1.0]),
        ("reward", [1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]),
        ("reward", ["1", "0.5", "-2", "1e3"], [1.0, 0.5, -2.0, 1000.0]),
        (
            "reward",
            pl.Series([0.5, 0.1, 1.0, 0.0], dtype=pl.Float32),
            [0.5, float(np.float32(0.1)), 1.0, 0.0],
        ),
        ("success", [1, 1, 0, 0], [True, True, False, False]),
        ("success", [1.0, 1.0, None, None], [True, True, None, None]),
        ("prompt_ids", [[1], None, [], [2, None]], [[1], None, [], [2, None]]),
        ("prompt_ids", [[], [], [], []], [[], [], [], []]),
        (
            "response_logprobs",
            [[-0.5], [0.1], [], None],
            [[-0.5], [float(np.float32(0.1))], [], None],
        ),
    ],
)
def test_casts_that_lose_nothing(column: str, values: Any, expected: Any) -> None:
    result = log(TWO, **{column: values})
    entry = known(column)
    assert entry is not None
    assert result[column].to_list() == expected
    assert result.schema[column] == entry.dtype


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("step_index", [0.0, 1.5, 0.0, 1.0], "is not a valid Int32, at row 1 (1.5)"),
        ("step_index", [0.0, float("nan"), 0.0, 1.0], "is null, at row 1"),
        ("step_index", ["0", "one", "0", "1"], "is not a valid Int32, at row 1 ('one')"),
        ("step_index", [0, 2**31, 0, 1], "is not a valid Int32, at row 1 (2147483648)"),
        ("reward", ["0", "won", "0", ""], "is not a valid Float64, at row 1 ('won'), row 3 ('')"),
        ("reward", [0, 2**60 + 1, 0, 0], "is not a valid Float64, at row 1 (1152921504606846977)"),
        (
            "train_step",
            [1.0, 1.0, 1.5, float("inf")],
            "is not a valid Int64, at row 2 (1.5), row 3 (inf)",
        ),
        ("done", [0, 2, 1, -1], "is not a valid Boolean, at row 1 (2), row 3 (-1)"),
        ("done", [0.0, 0.5, 1.0, float("nan")], "is not a valid Boolean, at row 1 (0.5)"),
        ("prompt_ids", [[1.5], [2.0], [], None], "is not a valid List(Int32), at row 0 ([1.5])"),
        (
            "prompt_ids",
            [[1], [2**31], [], None],
            "is not a valid List(Int32), at row 1 ([2147483648])",
        ),
        ("response_mask", [[1], [0], [300], [1]], "is not a valid List(Int8), at row 2 ([300])"),
        ("prompt_ids", [["1"], ["x"], [], None], "is not a valid List(Int32), at row 1 (['x'])"),
    ],
)
def test_casts_that_lose_something_are_refused(column: str, values: Any, problem: str) -> None:
    found = problems_of(rows(TWO, **{column: values}))
    assert found[0] == f"{column}: {problem}"
    assert len(found) == 1


@pytest.mark.parametrize(
    ("column", "values", "problem"),
    [
        ("observation", [["a"], ["b"], ["c"], ["d"]], "is List(String), expected String"),
        ("observation", [{"role": "user"}] * 4, "is Struct({'role': String}), expected String"),
        ("reward", [[1.0]] * 4, "is List(Float64), expected Float64"),
        ("reward", [{"score": 1.0}] * 4, "is Struct({'score': Float64}), expected Float64"),
        ("prompt_ids", [1, 2, 3, 4], "is Int64, expected List(Int32)"),
    ],
)
def test_types_of_no_kin_are_refused_as_a_whole(column: str, values: Any, problem: str) -> None:
    assert problems_of(rows(TWO, **{column: values})) == [f"{column}: {problem}"]
    # Nothing of such a log can be kept, so setting trajectories aside does not help.
    with pytest.raises(LogError):
        validate(rows(TWO, **{column: values}), quarantine=True)


def test_missing_columns_are_named_with_those_found() -> None:
    found = problems_of(rows(TWO).drop("reward", "action"))
    assert found == [
        "columns: missing columns ['action', 'reward']; found "
        "['group_id', 'trajectory_id', 'step_index', 'observation']. "
        'Hint: name them with --map: a JSON file with {"columns": {"reward": "score", …}}, '
        "which `workbench import FILE --propose-map map.json` writes to start from"
    ]


def test_missing_columns_do_not_hide_broken_rows() -> None:
    found = problems_of(
        rows(TWO, step_index=[0, 2, 0, 1], group_id=["g", "", "g", "g"]).drop("action")
    )
    assert found[0].startswith("columns: missing columns ['action']; found ['group_id',")
    assert found[1:] == [
        "group_id: is empty, at row 1",
        TWO_GROUPS.format("row 0, row 1"),
        GAP.format("row 1 (trajectory 't0' has no step 1)"),
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"group_id": ["g", None, "g", "g"]}, ["group_id: is null, at row 1"]),
        ({"trajectory_id": ["t0", "t0", "t1", None]}, ["trajectory_id: is null, at row 3"]),
        (
            {"trajectory_id": [None] * 4},
            ["trajectory_id: is null, at row 0, row 1, row 2 and 1 more"],
        ),
        ({"step_index": [0, None, 0, 1]}, ["step_index: is null, at row 1"]),
        ({"observation": ["door", None, None, "door"]}, ["observation: is null, at row 1, row 2"]),
        ({"action": [None] * 4}, ["action: is null, at row 0, row 1, row 2 and 1 more"]),
        ({"group_id": ""}, ["group_id: is empty, at row 0, row 1, row 2 and 1 more"]),
        ({"trajectory_id": ["t0", "t0", "", ""]}, ["trajectory_id: is empty, at row 2, row 3"]),
        ({"step_index": [0, 2, 0, 1]}, [GAP.format("row 1 (trajectory 't0' has no step 1)")]),
        (
            {"step_index": [0, 2**31 - 1, 0, 1]},
            [GAP.format("row 1 (trajectory 't0' has no steps 1 to 2147483646)")],
        ),
        (
            {"step_index": [-(2**31), 2**31 - 1, 0, 1]},
            [
                START.format("row 0 (trajectory 't0' begins with -2147483648)"),
                GAP.format("row 1 (trajectory 't0' has no steps -2147483647 to 2147483646)"),
            ],
        ),
        (
            {"step_index": [2, 0, 3, 0]},
            [
                GAP.format(
                    "row 0 (trajectory 't0' has no step 1), "
                    "row 2 (trajectory 't1' has no steps 1 to 2)"
                )
            ],
        ),
        (
            {"step_index": [0, 1, 1, 2]},
            [START.format("row 2 (trajectory 't1' begins with 1)")],
        ),
        (
            {"step_index": [0, 1, -1, 0]},
            [START.format("row 2 (trajectory 't1' begins with -1)")],
        ),
        (
            {"step_index": [1, 3, 0, 1]},
            [
                START.format("row 0 (trajectory 't0' begins with 1)"),
                GAP.format("row 1 (trajectory 't0' has no step 2)"),
            ],
        ),
        ({"step_index": [0, 1, 0, 0]}, [CONFLICT.format("row 2, row 3")]),
        ({"group_id": ["g", "g", "g", "h"]}, [TWO_GROUPS.format("row 2, row 3")]),
        ({"copies": [1, 0, -3, None]}, ["copies: must be at least 1, at row 1, row 2"]),
        (
            {"reward_scale": [0.0, 0.0, -1.0, -1.0]},
            ["reward_scale: must be positive and finite, at row 0, row 1, row 2 and 1 more"],
        ),
        (
            {"reward_scale": [float("nan"), None, float("inf"), None]},
            ["reward_scale: must be positive and finite, at row 0, row 2"],
        ),
        (
            {"reward_scale": [1.0, 10.0, 1.0, None]},
            ["reward_scale: differs within a trajectory, at row 0, row 1"],
        ),
        (
            {"success": [True, True, False, True]},
            ["success: differs within a trajectory, at row 2, row 3"],
        ),
        (
            {"in_group_statistics": [True, False, False, False]},
            ["in_group_statistics: differs within a trajectory, at row 0, row 1"],
        ),
        (
            {"episode_reward": [1.0, 1.0, 0.0, 0.5]},
            ["episode_reward: differs within a trajectory, at row 2, row 3"],
        ),
        (
            {"response_ids": [[1, 2], [3], None, [4]], "response_mask": [[1], [1], [1], []]},
            ["response_mask: has another length than response_ids, at row 0, row 3"],
        ),
        (
            {"response_ids": [[1, 2]] * 4, "response_logprobs": [[-1.0, -2.0], [-1.0], [], None]},
            ["response_logprobs: has another length than response_ids, at row 1, row 2"],
        ),
        (
            {"response_ids": [[1, 2]] * 4, "logged_token_advantage": [[1.0, 2.0]] * 3 + [[1.0]]},
            ["logged_token_advantage: has another length than response_ids, at row 3"],
        ),
    ],
)
def test_each_broken_rule_is_one_problem(columns: dict[str, Any], expected: Any) -> None:
    assert problems_of(rows(TWO, **columns)) == expected


@pytest.mark.parametrize("column", [c.name for c in STEP_LOG if c.constant])
def test_null_beside_a_value_is_no_difference_within_a_trajectory(column: str) -> None:
    value = {"success": True, "in_group_statistics": True}.get(column, 1.0)
    assert log(TWO, **{column: [value, None, None, value]}).height == 4


def test_all_problems_are_reported_at_once() -> None:
    frame = rows(
        TWO,
        group_id=["g", "h", "", "g"],
        step_index=["0", "1", "x", "3"],
        observation=["door", "room", "door", None],
        success=[True, False, None, None],
        copies=[1, 0, 1, 1],
        reward_scale=[-1.0, -1.0, None, None],
    )
    assert problems_of(frame) == [
        "step_index: is not a valid Int32, at row 2 ('x')",
        "observation: is null, at row 3",
        "group_id: is empty, at row 2",
        "copies: must be at least 1, at row 1",
        "reward_scale: must be positive and finite, at row 0, row 1",
        TWO_GROUPS.format("row 0, row 1, row 2 and 1 more"),
        "success: differs within a trajectory, at row 0, row 1",
    ]


def test_trajectories_numbered_anew_in_each_group_are_ambiguous() -> None:
    groups: Described = {"g": {"0": [("a", "x", 0.0)]}, "h": {"0": [("a", "x", 0.0)]}}
    places = "row 0, row 1"
    assert problems_of(rows(groups)) == [TWO_GROUPS.format(places), CONFLICT.format(places)]


def test_the_message_lists_every_problem_and_what_was_read() -> None:
    frame = rows(TWO, group_id="", copies=0)
    with pytest.raises(LogError) as caught:
        validate(frame)
    assert str(caught.value) == (
        "2 problems in a step log of 4 rows:\n"
        "- group_id: is empty, at row 0, row 1, row 2 and 1 more\n"
        "- copies: must be at least 1, at row 0, row 1, row 2 and 1 more"
    )
    assert [(p.column, p.count) for p in caught.value.problems] == [("group_id", 4), ("copies", 4)]


def test_places_are_files_and_lines_where_the_log_has_them() -> None:
    frame = rows(
        TWO,
        observation=None,
        source_file=["a.jsonl", "a.jsonl", None, "b.jsonl"],
        source_line=[1, None, 7, 12],
    )
    # A place needs both; else the row is counted from 0.
    places = "a.jsonl:1, row 1, row 2 and 1 more"
    assert problems_of(frame) == [f"observation: is null, at {places}"]


def test_what_is_whole_in_a_broken_log_is_counted_with_the_way_to_it() -> None:
    with pytest.raises(LogError) as caught:
        validate(rows(TWO, copies=[1, 1, 0, 1]))
    assert str(caught.value).endswith(
        "\nHint: workbench import --quarantine FILE sets the broken trajectories aside "
        "and keeps the others (1)"
    )
    # Of a log without a whole trajectory nothing can be kept.
    with pytest.raises(LogError) as caught:
        validate(rows(TWO, copies=0))
    assert "--quarantine" not in str(caught.value)


def test_places_are_those_of_the_input_whatever_its_order() -> None:
    frame = rows(TWO, copies=[1, 1, 0, 1]).reverse()
    assert problems_of(frame) == ["copies: must be at least 1, at row 1"]


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (rows(TWO).clear(), "rows: there are none. Hint: the file has a header but no data"),
        (pl.DataFrame(), "rows: there are none"),
    ],
)
def test_an_empty_frame_is_refused(frame: pl.DataFrame, problem: str) -> None:
    assert problems_of(frame) == [problem]


def test_identical_rows_become_one_with_their_count() -> None:
    frame = rows(TWO)
    result = validate(pl.concat([frame, frame[:1], frame[:2]]))
    # t0 step 0 is there 3 times, t0 step 1 twice, the steps of t1 once.
    assert result.log["copies"].to_list() == [3, 2, 1, 1]
    assert result.log["source_row"].to_list() == [0, 1, 2, 3]
    assert result.notices == ("3 repeated rows were collapsed into `copies`",)
    assert_frame_equal(result.log.drop("copies"), log(TWO).drop("copies"))


def test_copies_of_copies_add_up() -> None:
    frame = rows(TWO, source_copies=[2, 3, None, 1])
    result = validate(pl.concat([frame, frame]))
    assert result.log["copies"].to_list() == [4, 6, 2, 2]
    assert result.renamed == {"copies": "source_copies"}


def test_the_first_copy_in_the_source_is_kept() -> None:
    frame = rows(TWO, source_line=[10, 20, 30, 40], source_file="a", note=["w", "x", "y", "z"])
    again = frame.with_columns(source_line=pl.col("source_line") + 100, note=pl.lit("later"))
    result = validate(pl.concat([frame, again])).log
    assert result["source_line"].to_list() == [10, 20, 30, 40]
    assert result["note"].to_list() == ["w", "x", "y", "z"]


def test_rows_that_differ_only_in_where_they_stood_are_copies() -> None:
    bookkeeping = {column.name for column in STEP_LOG if column.bookkeeping}
    places = {"source_row", "source_file", "source_line"}
    assert bookkeeping == places | {"copies", "excluded", "reconstructed"}
    one = rows(TWO, source_file="a", source_line=[1, 2, 3, 4], copies=1)
    two = rows(TWO, source_file="b", source_line=[5, 6, 7, 8], copies=4)
    assert validate(pl.concat([one, two])).log["copies"].to_list() == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("observation", "else"),
        ("action", "else"),
        ("reward", 0.5),
        ("reward", None),
        ("gradient_mask", False),
        ("task", "else"),
        ("logged_advantage", 0.5),
        ("response_ids", [9]),
        ("turn_reward", 1.0),
    ],
)
def test_rows_of_one_step_that_differ_in_content_are_refused(column: str, value: Any) -> None:
    frame = rows(TWO, task="t", logged_advantage=0.0, response_ids=[[1]] * 4, turn_reward=0.0)
    frame = frame.with_columns(gradient_mask=pl.lit(value=True))
    changed = frame[1:2].with_columns(pl.Series(column, [value], dtype=frame.schema[column]))
    # Two of the three rows agree, but none of the three can be told to be the right one.
    found = problems_of(pl.concat([frame, changed, frame[1:2]]))
    assert found == [CONFLICT.format("row 1, row 4, row 5")]


def test_nan_rewards_are_equal_content() -> None:
    frame = rows(TWO, reward=[0.0, float("nan"), 0.0, 1.0])
    assert validate(pl.concat([frame, frame])).log["copies"].to_list() == [2, 2, 2, 2]


@pytest.mark.parametrize(
    ("reward", "reason"),
    [
        (None, "reward is null at step 1"),
        (float("nan"), "reward is not finite at step 1"),
        (float("inf"), "reward is not finite at step 1"),
        (float("-inf"), "reward is not finite at step 1"),
    ],
)
def test_a_trajectory_with_an_unusable_reward_is_excluded_and_keeps_its_rows(
    reward: float | None, reason: str
) -> None:
    result = validate(rows(TWO, reward=[0.0, reward, 0.0, 1.0]))
    assert result.log["excluded"].to_list() == [reason, reason, None, None]
    assert result.log["reward"][0] == 0.0
    assert result.log.height == 4
    assert result.notices == ("1 of 2 trajectories is excluded from scoring (column `excluded`)",)


def test_the_reason_is_that_of_the_first_bad_step_whatever_the_order_of_rows() -> None:
    frame = rows({"g": {"t": [("a", "x", None), ("b", "x", float("nan")), ("c", "x", None)]}})
    for order in ([0, 1, 2], [2, 1, 0], [1, 2, 0]):
        assert validate(frame[order]).log["excluded"].unique().to_list() == [
            "reward is null at step 0"
        ]


def test_a_reason_that_the_log_gives_holds_for_the_whole_trajectory() -> None:
    result = log(TWO, excluded=[None, "environment crashed", None, None])
    assert result["excluded"].to_list() == ["environment crashed"] * 2 + [None, None]


def test_a_log_without_any_reward_is_valid_and_wholly_excluded() -> None:
    result = validate(rows(TWO, reward=pl.Series([None] * 4, dtype=pl.Null)))
    assert result.log["excluded"].to_list() == ["reward is null at step 0"] * 4
    assert result.log.schema["reward"] == pl.Float64
    assert result.notices[0].startswith("no step has a reward, so that nothing can be scored")


def test_an_episode_reward_that_is_not_the_sum_is_noticed() -> None:
    result = validate(rows(TWO, episode_reward=[1.0, 1.0, 10.0, 10.0]))
    assert result.notices == (
        "episode_reward is not the sum of the rewards in 1 trajectories, first 't1' "
        "(10 against 0); the sum is used",
    )


def test_an_episode_reward_is_allowed_to_differ_by_rounding_alone() -> None:
    rewards = [0.1, 0.2, 1e9, 1e9]
    # 0.1 + 0.2 is 0.30000000000000004; 1e-6 of 2e9 is 2000.
    assert (
        validate(rows(TWO, reward=rewards, episode_reward=[0.3, 0.3, 2e9 + 1999, None])).notices
        == ()
    )
    assert (
        len(
            validate(rows(TWO, reward=rewards, episode_reward=[0.3, 0.3, 2e9 + 2001, None])).notices
        )
        == 1
    )
    assert (
        len(validate(rows(TWO, reward=rewards, episode_reward=[0.301, None, None, None])).notices)
        == 1
    )


def test_a_tiny_episode_reward_is_compared_to_within_a_millionth() -> None:
    rewards = [0.0, 0.0, 0.0, 0.0]
    assert validate(rows(TWO, reward=rewards, episode_reward=[9e-7, 9e-7, 0.0, 0.0])).notices == ()
    found = validate(rows(TWO, reward=rewards, episode_reward=[2e-6, 2e-6, 0.0, 0.0])).notices
    assert "in 1 trajectories" in found[0]


def test_the_episode_reward_of_an_excluded_trajectory_is_not_compared() -> None:
    result = validate(rows(TWO, reward=[None, 0.0, 0.0, 1.0], episode_reward=[5.0, 5.0, 1.0, 1.0]))
    assert len(result.notices) == 1
    assert "excluded" in result.notices[0]


def test_quarantine_sets_only_broken_trajectories_aside() -> None:
    frame = rows(TWO, observation=["door", None, "door", "door"])
    result = validate(frame, quarantine=True)
    assert result.log["trajectory_id"].to_list() == ["t1", "t1"]
    assert result.log["source_row"].to_list() == [2, 3]
    assert result.quarantined["trajectory_id"].to_list() == ["t0", "t0"]
    # The sound rows of a broken trajectory go with it and bear its problem.
    assert result.quarantined["problem"].to_list() == ["observation: is null"] * 2
    assert [str(problem) for problem in result.problems] == ["observation: is null, at row 1"]


def test_quarantine_of_a_sound_log_sets_nothing_aside() -> None:
    result = validate(rows(TWO), quarantine=True)
    assert_frame_equal(result.log, log(TWO))
    assert result.quarantined.height == 0
    assert "problem" in result.quarantined.columns
    assert result.problems == ()


def test_quarantine_keeps_values_as_they_were_given() -> None:
    frame = rows(TWO, step_index=["0", "second", "0", "1"])
    result = validate(frame, quarantine=True)
    assert result.quarantined["step_index"].to_list() == ["0", "second"]
    # Each row bears its own problem where it has one, else the first of its trajectory.
    assert result.quarantined["problem"].to_list() == ["step_index: is not a valid Int32"] * 2


def test_what_was_set_aside_can_be_mended_and_read_again() -> None:
    frame = rows(TWO, step_index=["0", "second", "0", "1"])
    aside = validate(frame, quarantine=True).quarantined
    mended = aside.with_columns(step_index=pl.Series(["0", "1"]))
    again = validate(mended, quarantine=True)
    assert again.quarantined.height == 0
    assert again.log["step_index"].to_list() == [0, 1]


def test_a_column_called_problem_of_the_log_decides_nothing() -> None:
    frame = rows(TWO, problem="What is 2 + 2?", observation=["door", None, "door", "door"])
    result = validate(frame, quarantine=True)
    assert result.log["trajectory_id"].to_list() == ["t1", "t1"]
    assert result.log["problem"].to_list() == ["What is 2 + 2?"] * 2
    assert result.quarantined["problem"].to_list() == ["observation: is null"] * 2


def test_rows_without_a_trajectory_are_set_aside_one_by_one() -> None:
    result = validate(rows(TWO, trajectory_id=["t0", "t0", None, None]), quarantine=True)
    assert result.log["trajectory_id"].to_list() == ["t0", "t0"]
    assert result.quarantined["problem"].to_list() == ["trajectory_id: is null"] * 2


def test_both_groups_of_an_ambiguous_trajectory_are_set_aside() -> None:
    groups: Described = {
        "g": {"t": [("a", "x", 0.0)]},
        "h": {"t": [("a", "x", 0.0)], "u": [("a", "x", 1.0)]},
    }
    result = validate(rows(groups), quarantine=True)
    assert result.log["trajectory_id"].to_list() == ["u"]
    assert result.quarantined["group_id"].to_list() == ["g", "h"]


def test_quarantine_that_leaves_nothing_refuses_the_log() -> None:
    with pytest.raises(LogError) as caught:
        validate(rows(TWO, action=None), quarantine=True)
    assert [str(problem) for problem in caught.value.problems] == [
        "action: is null, at row 0, row 1, row 2 and 1 more"
    ]


@settings(deadline=None, max_examples=60)
@given(described_logs(), st.data())
def test_quarantine_loses_no_row_and_no_sound_trajectory(
    described: Described, data: st.DataObject
) -> None:
    frame = rows(described).with_row_index("source_row")
    harm = data.draw(st.lists(st.integers(0, frame.height - 1), max_size=3))
    column = data.draw(st.sampled_from(["observation", "step_index", "group_id", "action"]))
    broken = pl.col("source_row").is_in(pl.Series(harm, dtype=pl.UInt32).implode())
    frame = frame.with_columns(pl.when(~broken).then(column))
    hurt = set(frame.filter(broken)["trajectory_id"])
    whole = set(frame["trajectory_id"]) - hurt
    if not whole:
        with pytest.raises(LogError):
            validate(frame, quarantine=True)
        return
    result = validate(frame, quarantine=True)
    assert set(result.log["trajectory_id"]) == whole
    assert set(result.quarantined["trajectory_id"]) == hurt
    numbers = [*result.log["source_row"], *result.quarantined["source_row"]]
    assert sorted(numbers) == list(range(frame.height))
    assert bool(hurt) == bool(result.problems)
    # What is kept is what the kept rows alone would have made.
    alone = validate(
        frame.filter(pl.col("trajectory_id").is_in(pl.Series(sorted(whole)).implode()))
    )
    assert_frame_equal(result.log, alone.log)
    assert_frame_equal(
        result.quarantined.drop("problem"),
        frame.filter(
            pl.col("trajectory_id").is_in(pl.Series(sorted(hurt), dtype=pl.String).implode())
        ),
        check_column_order=False,
    )


def test_names_and_aliases_of_the_step_log_are_unique() -> None:
    names = [name for c in STEP_LOG for name in (c.name, *c.aliases, *c.negated)]
    assert len(names) == len(set(names))


def test_known_tells_columns_from_others() -> None:
    for column in STEP_LOG:
        assert known(column.name.replace("*", "anything")) is column
    assert known("zebra") is None
    assert known("rewards") is None  # an alias is not the column


def test_the_table_for_documents_has_a_row_for_every_column() -> None:
    table = column_table()
    assert [row["column"] for row in table] == [column.name for column in STEP_LOG]
    by_name = {row["column"]: row for row in table}
    assert by_name["gradient_mask"]["aliases"] == ("not masked", "not is_masked")
    assert by_name["copies"]["default"] == 1
    assert {name for name, row in by_name.items() if row["required"]} == {
        "group_id",
        "trajectory_id",
        "step_index",
        "observation",
        "action",
        "reward",
    }
    assert all(row["meaning"].endswith(".") for row in table)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(column="a", rule="is odd"), "a: is odd"),
        (Problem(column="a", rule="is odd", hint="even it"), "a: is odd. Hint: even it"),
        (Problem(column="a", rule="is odd", places=["row 1"]), "a: is odd, at row 1"),
        (
            Problem(column="a", rule="is odd", count=5, places=["row 1", "row 3"], hint="even it"),
            "a: is odd, at row 1, row 3 and 3 more. Hint: even it",
        ),
    ],
)
def test_a_problem_reads_as_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_an_unknown_name_lists_what_exists_and_guesses() -> None:
    error = UnknownNameError("method", "gipgo", ["grpo", "gigpo"])
    assert str(error) == (
        "unknown method 'gipgo'; expected one of ['gigpo', 'grpo']. Hint: did you mean 'gigpo'?"
    )
    assert str(UnknownNameError("method", "x", ["grpo"])) == (
        "unknown method 'x'; expected one of ['grpo']."
    )


def test_of_many_names_the_nearest_are_listed() -> None:
    many = [f"name {number}" for number in range(21)]
    assert str(UnknownNameError("option", "nam 7", many)).startswith(
        "unknown option 'nam 7'; the nearest of 21 are ['name 7',"
    )
    assert "expected one of ['name 0'," in str(UnknownNameError("option", "xyz", many))


@pytest.mark.parametrize(
    "error",
    [
        LogError("a log", [Problem(column="a", rule="is odd")]),
        UnknownNameError("method", "gipgo", ["grpo", "gigpo"]),
        ParameterError("gamma must be in [0, 1], got 1.5"),
    ],
)
def test_errors_travel_between_processes(error: WorkbenchError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert isinstance(copy, WorkbenchError)


def test_random_logs_are_the_same_for_the_same_seed_and_validate_to_themselves() -> None:
    drawn = [random_log(np.random.default_rng(4), dense=True, texts=3) for _ in range(2)]
    assert_frame_equal(*drawn)
    assert validate(drawn[0]).notices == ()
    assert drawn[0]["group_id"].n_unique() == 3
    assert drawn[0]["trajectory_id"].n_unique() == 12
    result: Any = validate(drawn[0])
    assert isinstance(result, Validated)


def test_nan_is_a_missing_integer_or_truth_value_as_pandas_writes_them():
    result = log(TWO, train_step=[3.0, float("nan"), 3.0, 3.0], done=[0.0, 1.0, float("nan"), 1.0])
    assert result["train_step"].to_list() == [3, None, 3, 3]
    assert result["done"].to_list() == [False, True, None, True]


def test_a_truth_value_is_no_reason_for_exclusion():
    found = problems_of(rows(TWO, excluded=[False, False, True, True]))
    assert found == ["excluded: is Boolean, expected String"]


def test_a_reason_for_exclusion_of_the_log_itself_is_kept():
    result = log(TWO, excluded=["", None, "timeout", None])
    assert result["excluded"].to_list() == [None, None, "timeout", "timeout"]


def test_a_mended_reward_ends_the_exclusion():
    broken = log(TWO, reward=[0.0, None, 0.0, 1.0])
    assert broken["excluded"][0] is not None
    mended = validate(broken.with_columns(reward=pl.lit(1.0))).log
    assert mended["excluded"].is_null().all()


def test_a_missing_mark_takes_that_of_its_trajectory():
    result = log(TWO, in_group_statistics=[None, False, None, None])
    assert result["in_group_statistics"].to_list() == [False, False, True, True]


def test_one_column_cannot_have_two_names():
    with pytest.raises(ParameterError, match=r"gives \['s'\] more than one name"):
        rename(rows(TWO).rename({"reward": "s"}), {"reward": "s", "turn_reward": "s"})


def test_the_name_that_validation_uses_is_refused():
    assert problems_of(rows(TWO, __row=1))[0].startswith(
        "__row: is a name that the workbench needs"
    )


def test_groups_are_not_joined_across_train_steps():
    found = problems_of(rows(TWO, train_step=[1, 1, 2, 2]))
    assert found[0].startswith("group_id: spans several values of train_step")


def test_a_date_is_no_number():
    day = pl.Series([dt.date(2026, 1, 1)] * 4)
    assert problems_of(rows(TWO, reward=day))[0].startswith("reward: is Date, expected Float64")


def test_a_reason_in_the_words_of_ours_is_kept_where_it_is_another():
    result = log(TWO, excluded=["reward is hacked, see review", None, None, None])
    assert result["excluded"].to_list() == ["reward is hacked, see review"] * 2 + [None] * 2


def test_of_four_gaps_the_first_three_rows_name_their_own_trajectory_and_steps() -> None:
    # Rows 0 to 7: t3, t2, t1, t0, two each; t3 has 0 and 2, t2 0 and 3, t1 0 and 4, t0 0 and 5.
    frame = pl.concat(
        rows({"g": {f"t{k}": [("a", "go", 0.0), ("b", "go", 1.0)]}}, step_index=[0, 5 - k])
        for k in (3, 2, 1, 0)
    ).with_columns(pl.col("step_index").cast(pl.Int64))
    said = (
        "row 1 (trajectory 't3' has no step 1), row 3 (trajectory 't2' has no steps 1 to 2), "
        "row 5 (trajectory 't1' has no steps 1 to 3)"
    )
    assert problems_of(frame) == [GAP.format(f"{said} and 1 more")]
