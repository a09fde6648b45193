"""slime's samples, read by plain code and not by the target's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from batches import export, lines, one_advantage, partly_trained, token_log, with_advantage

from workbench.exporters.targets import slime

# Fields of slime's Sample (slime/utils/types.py, 0d234f3): from_dict sets what it does not know as
# attributes, so a field that is spelt otherwise is lost without a word.
SLIME_SAMPLE = {
    *("group_index", "index", "prompt", "tokens", "response", "response_length", "label", "reward"),
    *("loss_mask", "weight_versions", "rollout_log_probs", "status", "metadata"),
}


SLIME_STATUS = {"pending", "completed", "truncated", "aborted", "failed"}


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    for row, credit in zip(lines(path), lines(path.parent / "advantages.jsonl"), strict=True):
        assert row["index"] == credit["index"]
        response = row["tokens"][-row["response_length"] :]
        yield from zip(response, credit["advantages"], row["loss_mask"], strict=True)


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("slime", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / slime.SAMPLES)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("slime", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / slime.SAMPLES))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


def test_slime_knows_every_field_of_its_samples(tmp_path: Path):
    log, credit = token_log(response_logprobs=[-0.5])
    export("slime", (log, credit), tmp_path / "out", unit="step")
    samples = lines(tmp_path / "out" / slime.SAMPLES)
    assert [sample["index"] for sample in samples] == [0, 1, 2]
    assert [sample["rollout_log_probs"] for sample in samples] == [[-0.5], None, None]
    for sample in samples:
        assert sample.keys() <= SLIME_SAMPLE
        assert sample["status"] in SLIME_STATUS
        # slime asserts this where it makes its training data.
        assert len(sample["loss_mask"]) == sample["response_length"]
        assert 0 < sample["response_length"] < len(sample["tokens"])
