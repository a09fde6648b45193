"""Who counts and who trains, whatever the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from log_files import assistant, log_of, record, step, user, write_lines

from workbench import open_log
from workbench.errors import ParameterError
from workbench.log.facts import facts
from workbench.readers import import_log, import_to
from workbench.readers.votes import is_limit, wanted_reasons


def chat(folder: Path, *fields: dict[str, Any]) -> Path:
    """Rollouts of one task, with keys of their own."""
    records = [record(rollout=at, reward=float(at % 2), **own) for at, own in enumerate(fields)]
    return write_lines(folder / "chat.jsonl", records)


@pytest.mark.parametrize(
    "fields",
    [
        {"mask_sample": True},
        {"remove_sample": True},
        {"sample_loss_mask": 0.0},
        {"status": "aborted"},
        {"finish_reason": "abort"},
        {"metadata": {"mask_sample": True}},
        {"masked": True},
        {"masked": "yes"},
        {"is_masked": 1},
        {"exclude": True},
        {"overlong_filtered": True},
        {"loss_mask": 0},
        {"info": {"is_masked": True}},
        {"info": {"loss": {"sample_loss_mask": 0}}},
    ],
)
def test_what_a_trainer_masks_neither_votes_nor_trains(tmp_path: Path, fields: dict[str, Any]):
    path = chat(tmp_path, {}, fields, {})
    for keep_masked in (False, True):
        imported = import_log([path], keep_masked=keep_masked)
        log, report = imported.validated.log, imported.report
        assert log["in_group_statistics"].to_list() == [True, keep_masked, True]
        assert log["gradient_mask"].to_list() == [True, keep_masked, True]
        assert (report.masked, report.kept_masked) == (int(not keep_masked), int(keep_masked))


def test_a_mask_that_says_train_masks_nothing(tmp_path: Path):
    path = chat(tmp_path, {"mask_sample": False, "sample_loss_mask": 1, "status": "completed"}, {})
    imported = import_log([path])
    assert imported.report.masked == 0
    assert imported.validated.log["gradient_mask"].all()


@pytest.mark.parametrize(
    "reason",
    ["length", "max_iterations", "context_window_exceeded", "timeout", "AgentTimeoutError"],
)
def test_a_rollout_that_a_limit_cut_votes_and_trains_as_truncated(tmp_path: Path, reason: str):
    path = chat(tmp_path, {"finish_reason": reason}, {"finish_reason": "stop"})
    imported = import_log([path])
    log, report = imported.validated.log, imported.report
    assert log["truncated"].to_list() == [True, False]
    assert log["in_group_statistics"].all()
    assert log["gradient_mask"].all()
    assert (report.cut, report.masked) == (1, 0)
    assert dict(report.finish_reasons) == {reason: 1, "stop": 1}
    assert dict(facts(log).finish_reasons) == {reason: 1, "stop": 1}
    assert "cut by a limit" in str(report)


def test_rollouts_that_the_user_leaves_untrained_keep_their_vote(tmp_path: Path):
    path = chat(tmp_path, {"finish_reason": "length"}, {"finish_reason": "stop"}, {})
    asked = ["finish_reason=length"]
    imported = import_log([path], untrained=asked)
    log, report = imported.validated.log, imported.report
    assert log["gradient_mask"].to_list() == [False, True, True]
    assert log["in_group_statistics"].all()
    assert (report.cut, report.untrained) == (1, 1)
    assert "untrained on request" in str(report)
    # Rewards 0, 1, 0: mean 1/3, of all three.
    space = open_log(path, untrained=asked, embedder="tfidf")
    assert space.steps.counted.all()
    stored = tmp_path / "log.parquet"
    assert import_to(stored, [path], untrained=asked) == report
    assert pl.read_parquet(stored)["gradient_mask"].to_list() == [False, True, True]


def test_a_reason_that_no_trajectory_has_is_refused_with_those_that_there_are(tmp_path: Path):
    path = chat(tmp_path, {"finish_reason": "length"}, {"finish_reason": "stop"}, {})
    words = r"finish_reason 'lenght'. Hint: did you mean 'length'\? the log has 'length', 'stop'"
    for read in (
        import_log,
        lambda files, **how: import_to(tmp_path / "log.parquet", files, **how),
    ):
        with pytest.raises(ParameterError, match=words):
            read([path], untrained=["finish_reason=lenght"])
    (tmp_path / "other").mkdir()
    bare = chat(tmp_path / "other", {}, {})
    with pytest.raises(ParameterError, match="the log has no finish_reason"):
        import_log([bare], untrained=["finish_reason=length"])


@pytest.mark.parametrize("asked", ["length", "reward=1", "finish_reason=", 7])
def test_untrained_of_another_form_is_refused(asked: Any):
    with pytest.raises(ParameterError, match="untrained takes finish_reason=REASON"):
        wanted_reasons([asked])


def test_a_null_reward_is_excluded_whatever_the_reason(tmp_path: Path):
    fields: list[dict[str, Any]] = [{"finish_reason": "length"}, {"mask_sample": True}]
    records = [record(rollout=at, **own) | {"reward": None} for at, own in enumerate(fields)]
    path = write_lines(tmp_path / "chat.jsonl", [*records, record(rollout=2)])
    report = import_log([path], keep_masked=True).report
    assert dict(report.excluded) == {"reward is null": 2}
    assert (report.cut, report.masked, report.kept_masked) == (0, 0, 0)


def test_a_decision_is_kept_in_a_log_that_is_read_again(tmp_path: Path):
    path = chat(tmp_path, {}, {"mask_sample": True}, {})
    for keep_masked in (False, True):
        stored = tmp_path / "log.parquet"
        import_to(stored, [path], keep_masked=keep_masked)
        again = import_log([stored]).validated.log
        assert again["in_group_statistics"].to_list() == [True, keep_masked, True]
    kept = import_log([stored], keep_masked=True).validated.log
    assert kept["in_group_statistics"].all()


def test_the_mask_of_one_step_is_that_of_its_trajectory(tmp_path: Path):
    lines = [
        step(step_index=0, mask_sample=None),
        step(step_index=1, mask_sample=True),
        step(trajectory_id="u"),
    ]
    path = write_lines(tmp_path / "steps.jsonl", lines)
    log = import_log([path]).validated.log
    assert log["gradient_mask"].to_list() == [False, False, True]
    csv = tmp_path / "steps.csv"
    names = list(lines[0])
    rows = [
        ",".join("" if row.get(n) is None else json.dumps(row[n]) for n in names) for row in lines
    ]
    csv.write_text("\n".join([",".join(names), *rows]) + "\n")
    assert import_log([csv]).report.trajectories == 2


def test_reasons_in_which_a_service_came_to_its_limit_cut_nothing():
    assert [is_limit(reason) for reason in ("RateLimitError", "quota_exceeded", "stop")] == [
        False
    ] * 3
    assert all(map(is_limit, ("exit_context", "LimitsExceeded", "max_tokens", "token_limit")))


def test_the_report_names_the_keys_that_mask(tmp_path: Path):
    path = chat(tmp_path, {"masked": True}, {"masked": False}, {"exclude": True})
    report = import_log([path]).report
    assert dict(report.mask_reasons) == {"exclude": 1, "masked": 1}
    assert "2 trajectories: not counted in their group, not trained (exclude: 1, masked: 1)" in str(
        report
    )


@pytest.mark.parametrize(
    "mark",
    [{"loss_mask": 0}, {"weight": 0}, {"train": False}, {"trainable": "false"}, {"loss": False}],
)
def test_a_turn_that_its_message_leaves_out_of_the_loss_is_not_trained(
    tmp_path: Path, mark: dict[str, Any]
):
    talk = [user("go"), {**assistant("a"), **mark}, user("on"), assistant("b")]
    path = chat(tmp_path, {"messages": talk}, {})
    imported = import_log([path])
    log, report = imported.validated.log, imported.report
    assert log["gradient_mask"].to_list() == [False, True, True]
    assert log["in_group_statistics"].all()
    assert (report.untrained_steps, report.masked) == (1, 0)
    (key,) = mark
    assert f"by the key {key!r} of messages their turns are not trained" in report.notices
    # Kept though masked, the rollout is trained but for that turn.
    both = chat(tmp_path, {"messages": talk, "mask_sample": True}, {})
    kept = import_log([both], keep_masked=True).validated.log
    assert kept["gradient_mask"].to_list() == [False, True, True]


def test_a_call_of_a_tool_does_not_say_that_a_rollout_was_not_cut(tmp_path: Path):
    path = chat(tmp_path, {"finish_reason": "length"}, {"finish_reason": "tool_calls"}, {})
    assert log_of(path)["truncated"].to_list() == [True, None, None]
