"""Token columns of a step, from arrays that cover a message or a whole trajectory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.readers.messages import Turn
from workbench.readers.rows import named, numbers

_ALIKE = 1e-9


@dataclass(frozen=True, kw_only=True)
class StepTokens:
    """Token ids that the policy saw and wrote at one step; None where not logged.

    Args:
        prompt: All that stands before the response.
        response: From the first sampled token of the step to the last.
        mask: 1 where the policy sampled the token of `response`.
        logprobs: Log-probability of each token of `response`, 0 where it was not sampled.
        advantages: The trainer's own advantage of each token of `response`, likewise.
    """

    prompt: Sequence[int] | None = None
    response: Sequence[int] | None = None
    mask: Sequence[int] | None = None
    logprobs: Sequence[float] | None = None
    advantages: Sequence[float] | None = None


def token_columns(steps: Sequence[StepTokens]) -> dict[str, list[Any]]:
    """The columns of the step log for the steps of a trajectory, as `StepRows.add` takes them."""
    return {
        "prompt_ids": [step.prompt for step in steps],
        "response_ids": [step.response for step in steps],
        "response_mask": [step.mask for step in steps],
        "response_logprobs": [step.logprobs for step in steps],
        "logged_token_advantage": [step.advantages for step in steps],
        "logged_advantage": [_common(step) for step in steps],
        "response_tokens": [None if step.mask is None else sum(step.mask) for step in steps],
    }


def _common(step: StepTokens) -> float | None:
    """The one advantage of all sampled tokens; None where they differ or there is none."""
    if step.advantages is None or step.mask is None:
        return None
    sampled = [value for value, on in zip(step.advantages, step.mask, strict=True) if on]
    if not sampled or max(sampled) - min(sampled) > _ALIKE * max(1.0, abs(sampled[0])):
        return None
    return sampled[0]


def token_turns(steps: Sequence[StepTokens]) -> list[Turn]:
    """Steps of which nothing but tokens is known: their ids, as text, stand for what was said.

    Equal ids are equal texts, so states and actions compare as they would in words. There is no
    conversation.
    """
    said, seen = [], 0
    for step in steps:
        prompt, response = step.prompt or (), step.response or ()
        said.append((_words(prompt[seen:]), _words(response)))
        seen = len(prompt) + len(response)
    answers = [observation for observation, _ in said[1:]]
    return [
        Turn(observation=observation, action=action, next_observation=answer, messages=None)
        for (observation, action), answer in zip(said, [*answers, None], strict=True)
    ]


def _words(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def mask(value: Any) -> list[int] | None:
    """A JSON list of truth values, zeros and ones as zeros and ones, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return None
    if not isinstance(value, list) or any(item not in (0, 1) for item in value):
        raise ValueError("is not a list of zeros and ones")
    return [int(item) for item in value]


def same_lengths(values: Mapping[str, Sequence[Any] | None], count: int, what: str) -> None:
    """Checks that arrays go with the tokens.

    Raises:
        ValueError: One has another length; the text names it.
    """
    for name, array in values.items():
        if array is not None and len(array) != count:
            raise ValueError(f"{name} has {len(array)} values for {count} {what}")


def runs(sampled: Sequence[int]) -> list[tuple[int, int]]:
    """Start and end of each stretch of ones.

    Example:
        >>> runs([0, 1, 1, 0, 1])
        [(1, 3), (4, 5)]
    """
    padded = [0, *sampled, 0]
    edges = [at for at in range(len(sampled) + 1) if padded[at] != padded[at + 1]]
    return list(zip(edges[::2], edges[1::2], strict=True))


def spread(compact: Any, sampled: Sequence[int], name: str) -> list[float] | None:
    """Values that were logged for sampled tokens only, laid out over all tokens with 0 between.

    Args:
        compact: A JSON list with a number for each one of `sampled`; null or empty as None.
        sampled: 1 where a token was sampled.
        name: What the error calls it.

    Raises:
        ValueError: It is no list of numbers, or has another length than there are ones.

    Example:
        >>> spread([-0.5, -0.25], [0, 1, 0, 1], "logprobs")
        [0.0, -0.5, 0.0, -0.25]
    """
    given = named(name, numbers, compact)
    if not given:
        return None
    same_lengths({name: given}, sum(sampled), "sampled tokens")
    left = iter(given)
    return [next(left) if on else 0.0 for on in sampled]
