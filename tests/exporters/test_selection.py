"""Steps that go into a batch, and those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from batches import Log, export, exportable, made, several, step_row, token_log, write, written

from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters import TARGETS
from workbench.exporters.options import Options
from workbench.exporters.selection import select


def test_what_is_dropped_is_counted(tmp_path: Path) -> None:
    ids: dict[str, Any] = {"prompt_ids": [1], "response_ids": [2]}
    rows = [
        step_row("kept", 0, 1.0, **ids),
        step_row("null", 0, None, reward=None, **ids),
        step_row("null", 1, None, reward=1.0, **ids),
        step_row("infinite", 0, float("inf"), **ids),
        step_row("huge", 0, 1e300, **ids),
        step_row("bare", 0, 1.0, prompt_ids=None, response_ids=None),
        step_row("zero", 0, 0.0, group="h", **ids),
    ]
    manifest, out = written(*made(rows), tmp_path / "out", drop_zero_groups=True)
    assert [row["trajectory_id"] for row in out] == ["kept"]
    assert manifest.input == {"groups": 2, "trajectories": 6, "steps": 7}
    assert manifest.dropped == {
        "not_selected": {"groups": 0, "trajectories": 0, "steps": 0},
        "excluded_trajectories": {"groups": 1, "trajectories": 1, "steps": 2},
        "nonfinite_advantage": {"groups": 1, "trajectories": 2, "steps": 2},
        "no_token_ids": {"groups": 1, "trajectories": 1, "steps": 1},
        "zero_advantage_groups": {"groups": 1, "trajectories": 1, "steps": 1},
        "template": {"groups": 0, "trajectories": 0, "steps": 0},
    }


def test_groups_without_advantage_are_kept_and_counted_by_default(tmp_path: Path) -> None:
    ids: dict[str, Any] = {"prompt_ids": [1], "response_ids": [2]}
    log, credit = made([step_row("t", 0, **ids), step_row("u", 0, 0.0, group="h", **ids)])
    manifest, out = written(log, credit, tmp_path / "out")
    assert len(out) == 2
    assert manifest.counts["zero_advantage_groups"] == 1


def test_a_null_advantage_of_a_scored_step_is_refused(tmp_path: Path) -> None:
    log, credit = token_log()
    nothing = pl.when(pl.col("trajectory_id") == "t1").then(None).otherwise(pl.col("advantage"))
    with pytest.raises(ParameterError, match="trajectory 't1' step 0"):
        write(log, credit.with_columns(nothing.alias("advantage")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_credit_of_another_log_is_refused(tmp_path: Path) -> None:
    log, credit = token_log()
    with pytest.raises(ParameterError, match=r"1 step is only in the log: .*'t0' step 0"):
        write(log, credit.slice(1), tmp_path / "out")
    with pytest.raises(ParameterError, match="the credit has steps twice"):
        write(log, pl.concat([credit, credit]), tmp_path / "out")
    with pytest.raises(ParameterError, match="missing columns"):
        write(log, credit.drop("excluded"), tmp_path / "out")


def test_only_the_groups_or_tasks_that_were_asked_for(tmp_path: Path):
    manifest = export("weighted-batch", several(), tmp_path / "a", groups=["h", "i"])
    assert manifest.counts["groups"] == 2
    assert manifest.dropped["not_selected"] == {"groups": 1, "trajectories": 1, "steps": 2}
    manifest = export("weighted-batch", several(), tmp_path / "b", tasks=["a"], groups=["g", "i"])
    assert (manifest.counts["groups"], manifest.counts["steps"]) == (1, 2)
    with pytest.raises(
        ParameterError, match=r"no group 'z'; it has 3, the first \['g', 'h', 'i'\]"
    ):
        export("weighted-batch", several(), tmp_path / "c", groups=["g", "z"])
    with pytest.raises(ParameterError, match="no task 'z'"):
        export("weighted-batch", several(), tmp_path / "c", tasks=["z"])
    log, credit = several()
    with pytest.raises(ParameterError, match="no column 'task'"):
        export("weighted-batch", (log.drop("task"), credit), tmp_path / "c", tasks=["a"])
    with pytest.raises(EmptyBatchError, match=r"left out: 3 \(not asked for\)"):
        export("weighted-batch", several(), tmp_path / "c", tasks=["b"], groups=["g"])


def trained(target: str, log: Log, **options: Any) -> tuple[Any, list[list[float]]]:
    batch = TARGETS[target].assemble(*exportable(log), **options)
    pairs = batch.rows.select("step_advantages", "step_mask").iter_rows()
    return batch.manifest.counts, [
        [value for value, mask in zip(values, masks, strict=True) if mask]
        for values, masks in pairs
    ]


def test_advantages_are_limited():
    counts, found = trained("weighted-batch", several(), clip=0.4)
    assert found == [pytest.approx([0.4, -0.4]), [0.25], [0.0]]
    assert counts["clipped_steps"] == 2


def test_only_the_largest_advantages_are_trained():
    # ⌈0.5 · 4⌉ = 2 of |0.5|, |-2|, |0.25|, |0|.
    counts, found = trained("weighted-batch", several(), top_share=0.5)
    assert found == [[0.5, -2.0], [], []]
    assert (counts["below_top_share"], counts["masked_steps"]) == (2, 2)
    # ⌈0.51 · 4⌉ = 3.
    assert trained("weighted-batch", several(), top_share=0.51)[1] == [[0.5, -2.0], [0.25], []]
    # Limited to 0.25, three are equally large: they are taken together.
    counts, found = trained("weighted-batch", several(), top_share=0.25, clip=0.25)
    assert found == [[0.25, -0.25], [0.25], []]
    counts, found = trained("weighted-batch", several(), top_share=0.25, drop_zero_groups=True)
    assert found == [[-2.0]]
    assert counts["groups"] == 1


def test_only_positive_advantages_are_trained():
    counts, found = trained("weighted-batch", several(), positive_only=True, top_share=0.5)
    # Of 0.5 and 0.25 the larger half.
    assert found == [[0.5], [], []]
    assert (counts["not_positive"], counts["below_top_share"]) == (2, 1)


def test_marked_steps_are_taken_or_left():
    # Advantages 0.5 and -2 of one trajectory, 0.25 and 0 of two others; the first and third marked.
    log, credit = several()
    marked = log.with_columns(pl.Series("mark", ["+", None, "-", None])), credit
    counts, found = trained("weighted-batch", marked, marked="only")
    assert (counts["by_mark"], found) == (2, [[0.5], [0.25], []])
    counts, found = trained("weighted-batch", marked, marked="without")
    assert (counts["by_mark"], found) == (2, [[-2.0], [], [0.0]])
    assert trained("weighted-batch", marked)[0]["by_mark"] == 0


def test_filtered_steps_train_and_the_rest_of_their_rollout_is_context():
    # Advantages 0.5 and -2 of one trajectory, 0.25 and 0 of two others; the second and fourth left.
    log, credit = several()
    left = log.with_columns(pl.Series("in_filter", [False, True, False, True])), credit
    chosen = select(*left, Options(filter="depth>=2"))
    assert chosen.dropped["not_selected"] == {"groups": 1, "trajectories": 1, "steps": 1}
    assert chosen.steps["untrained"].to_list() == ["by_filter", None, None]
    counts, found = trained("weighted-batch", left, filter="depth>=2")
    assert (counts["by_filter"], found) == (1, [[-2.0], [0.0]])
    with pytest.raises(ParameterError, match="no column 'in_filter'"):
        select(*several(), Options(filter="depth>=2"))


def test_a_log_without_marks_cannot_be_chosen_by_them():
    with pytest.raises(ParameterError, match=r"no column 'mark' to choose by"):
        trained("weighted-batch", several(), marked="only")


def test_a_trajectory_without_token_ids_is_left_out_of_a_log_that_has_them(tmp_path: Path):
    rows = [
        step_row("t0", 0, prompt_ids=[1], response_ids=[2]),
        step_row("t1", 0, prompt_ids=None, response_ids=None),
    ]
    manifest = export("verl", made(rows), tmp_path / "out")
    assert manifest.dropped["no_token_ids"]["trajectories"] == 1


def test_a_credit_of_other_rewards_is_refused_with_the_rollouts():
    log, credit = made([step_row("a", 0, reward=1.0), step_row("b", 0, reward=0.0)])
    scored = credit.with_columns(log["reward"])
    assert select(log, scored, Options()).steps.height == 2
    other = log.with_columns(reward=pl.Series([100.0, 0.0]))
    words = r"other rewards .*'a' \(100 in the log, 1 in the credit\)\. Hint: score this log again"
    with pytest.raises(ParameterError, match=words):
        select(other, scored, Options())
    # Read without the rewards that were given beside it.
    bare = log.with_columns(reward=pl.lit(None, dtype=pl.Float64))
    with pytest.raises(ParameterError, match=r"\(– in the log, 1 in the credit\).*--rewards FILE"):
        select(bare, scored, Options())


def test_rollouts_that_train_otherwise_than_when_they_were_scored_are_counted():
    log, credit = made([step_row("a", 0), step_row("b", 0)])
    scored = credit.with_columns(log["gradient_mask"], log["in_group_statistics"])
    assert select(log, scored, Options()).masks_changed == 0
    untrained = log.with_columns(gradient_mask=pl.Series([True, False]))
    assert select(untrained, scored, Options()).masks_changed == 1
