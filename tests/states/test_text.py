"""Text of a step that is embedded."""

from __future__ import annotations

import polars as pl
import pytest

from workbench.errors import MissingInputError, ParameterError
from workbench.states.text import StateText

LOG = pl.DataFrame(
    {
        "group_id": ["g"] * 4,
        "trajectory_id": ["a", "a", "a", "b"],
        "step_index": [0, 1, 2, 0],
        "observation": ["hall", "cellar", "attic", "hall"],
        "action": ["go down", "go up", "stop", "wait"],
        "task": ["find it", "find it", "find it", None],
    }
)


def test_a_state_text_is_the_observation_unless_asked_otherwise():
    assert StateText().texts(LOG).to_list() == ["hall", "cellar", "attic", "hall"]


def test_a_template_adds_the_task_and_previous_actions_of_the_same_trajectory():
    text = StateText(template="{{{task}}}|{actions}|{observation}", last_actions=2)
    assert text.texts(LOG).to_list() == [
        "{find it}||hall",
        "{find it}|go down|cellar",
        "{find it}|go down\ngo up|attic",
        "{}||hall",
    ]


def test_a_template_without_placeholders_is_refused():
    for template in ("", "x", "{{observation}}"):
        with pytest.raises(ParameterError, match="names no column"):
            StateText(template=template)


@pytest.mark.parametrize("template", ["{reward}", "{}", "{observation!r}", "{observation:>9}"])
def test_an_unknown_placeholder_lists_those_that_exist(template):
    with pytest.raises(ParameterError, match=r"'\{actions\}', '\{observation\}', '\{task\}'"):
        StateText(template=template)


@pytest.mark.parametrize(
    "fields",
    [
        {"template": "{"},
        {"last_actions": -1},
        {"last_actions": 2},
        {"template": "{actions}"},
    ],
)
def test_a_template_and_its_actions_must_fit(fields):
    with pytest.raises(ParameterError):
        StateText(**fields)


def test_a_task_template_needs_a_task_column():
    with pytest.raises(MissingInputError, match="'task'"):
        StateText(template="{task}").texts(LOG.drop("task"))


def test_keys_tell_state_texts_apart():
    texts = [
        StateText(),
        StateText(template="{task} {observation}"),
        StateText(template="{actions}", last_actions=1),
        StateText(template="{actions}", last_actions=2),
    ]
    assert len({text.key for text in texts}) == 4
    assert StateText().key == StateText(template="{observation}").key
