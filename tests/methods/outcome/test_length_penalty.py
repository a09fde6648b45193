"""Length penalty: what a rollout pays for tokens and turns."""

from __future__ import annotations

import pytest
from crediting import advantage, credit, near
from hypothesis import given
from logs import Described, described_logs, log, rows

from workbench.errors import MissingInputError

# a wins in one step, b in two, c fails in one: the mean reward is ⅔.
GROUP: Described = {
    "g": {
        "a": [("x", "p", 1.0)],
        "b": [("x", "p", 0.0), ("y", "p", 1.0)],
        "c": [("x", "p", 0.0)],
    }
}
TOKENS = {"response_tokens": [10, 20, 20, 40]}


def test_length_penalty_by_hand():
    # Shares: ¼·10/40 + ½·½, ¼·40/40 + ½·1, ¼·40/40 + ½·½, of which ⅔ is taken off.
    shares = (0.3125, 0.75, 0.5)
    left = [reward - share * 2 / 3 for reward, share in zip((1, 1, 0), shares, strict=True)]
    mean = sum(left) / 3
    found = credit(log(GROUP, **TOKENS), "length-penalty", output_weight=0.25, turns_weight=0.5)
    a, b, c = (each - mean for each in left)
    assert found.advantage.tolist() == near(a, b, b, c)
    facts = found.explain(1).facts["episode"]
    assert (facts["tokens_written"], facts["turns"]) == (40.0, 2.0)
    assert facts["length_penalty"] == pytest.approx(0.5)


def test_tokens_that_were_read_are_those_of_the_sequences_less_those_written():
    # b: its second prompt and reply hold 60 tokens, 40 of them its own. a and c read 5 and 20.
    frame = rows(
        GROUP,
        **TOKENS,
        prompt_ids=[[0] * count for count in (5, 10, 40, 20)],
        response_ids=[[0] * count for count in (10, 20, 20, 40)],
    )
    weights = {"output_weight": 0.0, "turns_weight": 0.0, "input_weight": 0.5}
    found = credit(frame, "length-penalty", **weights)
    left = (1 - 5 / 20 / 3, 1 - 1 / 3, 0 - 1 / 3)
    a, b, c = (each - sum(left) / 3 for each in left)
    assert found.advantage.tolist() == near(a, b, b, c)
    # In two segments b's first sequence counts too: 30 + 60 − 40 = 50 were read.
    divided = credit(
        frame.with_columns(segment=rows(GROUP)["step_index"]), "length-penalty", **weights
    )
    assert divided.explain(1).facts["episode"]["tokens_read"] == 50.0


def test_a_group_without_success_pays_nothing_for_length():
    frame = log(GROUP, **TOKENS).with_columns(reward=0.0)
    assert (advantage(frame, "length-penalty") == 0.0).all()


@given(described_logs())
def test_without_weights_it_is_grpo_without_deviation(described: Described):
    frame = log(described)
    free = advantage(frame, "length-penalty", output_weight=0.0, turns_weight=0.0)
    assert free.tolist() == advantage(frame, "grpo", norm="mean").tolist()


def test_tokens_that_are_not_known_are_asked_for():
    with pytest.raises(MissingInputError, match="length-penalty needs `response_tokens`"):
        credit(log(GROUP), "length-penalty")
    with pytest.raises(MissingInputError, match=r"prompt_ids.*and.*response_ids"):
        credit(log(GROUP, **TOKENS), "length-penalty:prime-rl")
    frame = rows(
        GROUP, **TOKENS, prompt_ids=[[0], None, None, [0]], response_ids=[[0], None, None, [0]]
    )
    with pytest.raises(MissingInputError, match=r"not known at 1 of 3 last steps.*input_weight=0"):
        credit(frame, "length-penalty:prime-rl")
