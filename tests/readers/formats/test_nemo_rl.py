"""NeMo-RL train data as steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from log_files import log_of, written
from samples_of import (
    CANONICAL,
    SAMPLES,
    assert_canonical_advantages,
    assert_canonical_tokens,
    assert_nine_steps,
    lines,
)

from workbench.errors import LogError
from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "nemo-rl"]), "nemo-rl")


def test_tokens_of_the_sample_are_the_canonical_ones():
    assert_canonical_tokens(log_of(SAMPLES / "nemo-rl"))


def test_the_trainer_s_own_advantages_are_logged():
    assert_canonical_advantages(log_of(SAMPLES / "nemo-rl"), 1e-6)


def test_advantages_of_tokens_lie_on_the_sampled_ones():
    log = log_of(SAMPLES / "nemo-rl")
    assert log["logged_token_advantage"].list.len().equals(log["response_ids"].list.len())
    assert log["logged_token_advantage"][0].to_list() == pytest.approx([0.866024] * 3)


def test_every_row_of_the_sample_leads_back_to_its_line():
    log = log_of(SAMPLES / "nemo-rl")
    assert log["source_line"].to_list() == [1, 1, 2, 2, 2, 3, 3, 4, 4]
    assert set(log["source_file"]) <= {
        str(path) for path in [SAMPLES / "nemo-rl", *(SAMPLES / "nemo-rl").rglob("*")]
    }


def nemo(**changes: Any) -> dict[str, Any]:
    return lines("nemo-rl")[0] | changes


def test_messages_without_roles_are_told_apart_by_the_loss_mask(tmp_path: Path):
    record = nemo(content=["Find the key.", "look drawer", "You see a key.", "take key"])
    ended = log_of(written(tmp_path, [record], "train_data_step3.jsonl"))
    assert ended["action"].to_list() == ["look drawer", "take key"]
    assert set(ended["train_step"]) == {3}
    more = {
        "token_ids": [*record["token_ids"], 9],
        "token_loss_mask": [*record["token_loss_mask"], 0],
    }
    record |= more | {"content": [*record["content"], "You hold it."]}
    for name in ("advantages", "generation_logprobs"):
        record[name] = [*record[name], 0.0]
    answered = log_of(written(tmp_path, [record | {"input_lengths": 29}]))
    assert answered["action"].to_list() == ["look drawer", "take key"]
    assert answered["next_observation"].to_list() == ["You see a key.", "You hold it."]


def test_padding_and_lists_of_one_are_read(tmp_path: Path):
    record = nemo(rewards=[1.0], sample_loss_mask=[0.0])
    pad = {"token_ids": 0, "token_loss_mask": 0, "advantages": 0.0, "generation_logprobs": 0.0}
    record |= {name: [*record[name], value, value] for name, value in pad.items()}
    log = log_of(written(tmp_path, [record]))
    assert log["response_ids"].to_list() == CANONICAL["response_ids"].to_list()[:2]
    assert log["gradient_mask"].to_list() == [False, False]


def test_text_that_does_not_fit_the_mask_gives_way_to_token_ids(tmp_path: Path):
    imported = import_log([written(tmp_path, [nemo(content=["go"])])])
    assert imported.validated.log["action"].to_list() == ["20 17 2", "22 12 2"]
    assert imported.validated.log["observation"][1] == "14 15 16 12 21 11 17 13 1"
    assert "token ids stand for the text" in str(imported.report)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"advantages": [0.0]}, "advantages has 1 values for 28 tokens"),
        ({"token_loss_mask": [0] * 28}, "counts no token"),
        ({"token_loss_mask": [2] * 28}, "is not a list of zeros and ones"),
        ({"token_ids": None}, "token_ids: is missing or null"),
    ],
)
def test_token_arrays_that_do_not_go_together_are_named(
    tmp_path: Path, change: dict[str, Any], says: str
):
    with pytest.raises(LogError) as caught:
        import_log([written(tmp_path, [nemo(**change)])])
    assert says in str(caught.value)
