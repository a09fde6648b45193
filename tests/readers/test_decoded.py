"""Turns told apart in decoded text."""

from __future__ import annotations

import pytest

from workbench.readers.decoded import decoded_turns


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("system\nrules\nuser\ngo\nassistant\n", "a\nuser\nseen\nassistant\nb"),
        (
            "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n",
            "a<|im_end|>\n<|im_start|>user\nseen<|im_end|>\n<|im_start|>assistant\nb<|im_end|>",
        ),
        (
            "<|start_header_id|>user<|end_header_id|>\n\ngo<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "a<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\nseen<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>",
        ),
        ("go", "a\ntool\nseen\nassistant\nb"),
    ],
)
def test_turns_are_told_apart_in_the_usual_templates(prompt: str, response: str):
    first, second = decoded_turns(prompt, response)
    assert (first.observation, first.action, first.next_observation) == ("go", "a", "seen")
    assert (second.observation, second.action, second.next_observation) == ("seen", "b", None)


def test_what_the_prompt_shows_the_assistant_saying_is_no_step():
    only = decoded_turns("user\nq\nassistant\nexample\nuser\ngo\nassistant\n", "a")
    assert [(turn.observation, turn.action) for turn in only] == [("go", "a")]
