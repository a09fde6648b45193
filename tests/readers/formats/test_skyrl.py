"""SkyRL evaluation dumps as steps."""

from __future__ import annotations

from pathlib import Path

from log_files import log_of, written
from samples_of import SAMPLES, assert_nine_steps, lines

from workbench.readers import import_log, read


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "skyrl"]), "skyrl")


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(SAMPLES / "skyrl")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) <= {
        str(path) for path in [SAMPLES / "skyrl", *(SAMPLES / "skyrl").rglob("*")]
    }


def test_scores_of_tokens_are_summed_and_a_length_stop_truncates(tmp_path: Path):
    row = lines("skyrl")[0] | {"score": [0.0, 0.25, 0.5], "stop_reason": "length"}
    folder = tmp_path / "dumped_evals/global_step_20_evals"
    imported = import_log([written(folder, [row])])
    log = imported.validated.log
    assert log["reward"].to_list() == [0.0, 0.75]
    assert log["truncated"].to_list() == [None, True]
    assert set(log["train_step"]) == {20}
    assert "scores of tokens are summed" in str(imported.report)


def test_a_summary_beside_the_dumps_is_passed_over_and_said(tmp_path: Path):
    written(tmp_path, lines("skyrl"))
    written(tmp_path, [{"eval/all/avg_score": 0.5}], "aggregated_results.jsonl")
    raw = read([tmp_path])
    assert raw.frame.height == 9
    assert any("aggregated_results.jsonl" in notice for notice in raw.notices)
