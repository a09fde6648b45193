"""open-instruct rollouts as steps."""

from __future__ import annotations

from pathlib import Path

from log_files import log_of, written
from samples_of import SAMPLES, assert_canonical_advantages, lines

from workbench.readers import import_log


def test_the_trainer_s_own_advantages_are_logged():
    assert_canonical_advantages(log_of(SAMPLES / "open-instruct"), 1e-6)


def test_open_instruct_has_tokens_only_so_a_response_is_a_step():
    imported = import_log([SAMPLES / "open-instruct"])
    log = imported.validated.log
    assert log.height == 4
    assert log["reward"].to_list() == [1.0, 1.0, 0.0, 0.0]
    assert log["action"][0] == " ".join(map(str, log["response_ids"][0]))
    assert log["messages"].null_count() == 4
    assert "rollouts have no text" in str(imported.report)


def test_a_response_with_tool_output_has_no_mask(tmp_path: Path):
    record = lines("open-instruct")[0] | {"request_info": {"tool_calleds": True}}
    imported = import_log([written(tmp_path, [record | {"finish_reason": "length"}])])
    log = imported.validated.log
    assert "response_mask" not in log.columns
    assert log["truncated"].to_list() == [True]
    assert "no mask tells it apart" in str(imported.report)
