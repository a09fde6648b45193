"""Prompts and answers of a text policy: decisions, and the conversations that hold them.

system     the task
user       an observation, and the admissible actions
assistant  one of them
user       …
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

_OFFER, _BETWEEN = "\nAdmissible actions: ", " | "


class Decision(NamedTuple):
    """All that the policy knows when it acts.

    Args:
        task: What is asked for.
        observation: The latest one.
        earlier: The actions before, in order.
        options: The admissible actions.
    """

    task: str
    observation: str
    earlier: tuple[str, ...]
    options: tuple[str, ...]


def prompt(decisions: Sequence[Decision]) -> list[dict[str, str]]:
    """The conversation before the last of an episode's decisions is answered."""
    messages = [{"role": "system", "content": decisions[0].task}]
    answers = (*decisions[-1].earlier, None)
    for decision, answer in zip(decisions, answers, strict=True):
        content = f"{decision.observation}{_OFFER}{_BETWEEN.join(decision.options)}"
        messages.append({"role": "user", "content": content})
        if answer is not None:
            messages.append({"role": "assistant", "content": answer})
    return messages


def decisions_of(messages: Sequence[Mapping[str, str]]) -> tuple[list[Decision], list[int]]:
    """The decisions of a whole conversation, and which option each answer is."""
    task = messages[0]["content"]
    answers = tuple(message["content"] for message in messages[2::2])
    found, chosen = [], []
    for number, (message, answer) in enumerate(zip(messages[1::2], answers, strict=True)):
        observation, _, offer = message["content"].rpartition(_OFFER)
        options = tuple(offer.split(_BETWEEN))
        found.append(Decision(task, observation, answers[:number], options))
        chosen.append(options.index(answer))
    return found, chosen
