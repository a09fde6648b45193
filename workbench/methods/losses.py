"""Losses that people ask for as if they were methods, each with the credit it is used with."""

from __future__ import annotations

from collections.abc import Mapping

from workbench.errors import ParameterError

LOSSES: Mapping[str, str] = {
    "ppo": (
        "PPO is a loss, the clipped ratio, on GAE's advantage from a critic's values. "
        "A log that has such values (column critic_value) is scored by turn-gae; without a critic, "
        "history-gae fits values to the log itself, and grpo needs none"
    ),
    "gspo": (
        "GSPO is a loss, whose ratio is of a whole sequence; its advantage is GRPO's. Score with "
        "grpo, and set the sequence-level ratio in the trainer"
    ),
}
"""Name -> what it is and which method comes nearest."""


def require_credit(name: str) -> None:
    """Refuse the name of a loss.

    Raises:
        ParameterError: With what it is and which method comes nearest.
    """
    said = LOSSES.get(name.partition(":")[0].lower())
    if said is not None:
        raise ParameterError(f"{name} is no credit: {said}")
