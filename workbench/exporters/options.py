"""The options of an export: what goes into a batch, how it is laid out, how it is weighed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from workbench.errors import ParameterError, UnknownNameError

UNITS: Mapping[str | None, str] = {
    None: "trajectories, and steps where prompts do not follow on",
    "trajectory": "one row a trajectory",
    "step": "one row a step, with all that led to it",
}
STEPS_ONLY: Mapping[str | None, str] = {
    None: "steps, the only unit that this trainer takes",
    "step": UNITS["step"],
}
WEIGHTS: Mapping[str, str] = {
    "none": "1 everywhere",
    "inverse_length": "1 / number of trained steps of the trajectory, 0 where there is none",
}
POSITIVE_ONLY: Mapping[bool, str] = {
    False: "train every step that has an advantage",
    True: "rejection sampling: train only steps with an advantage above 0",
}


def option(default: Any, help: str, choices: Mapping[Any, str] | None = None) -> Any:
    """A field of `Options`: its default, one line of meaning, and the values it can have."""
    return field(default=default, metadata={"help": help, "choices": choices or {}})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every target can be told.

    Args:
        unit: What a row is: "trajectory" or "step"; None for what suits the target.
        weight: A key of `WEIGHTS`: a factor for the loss of each token of a trajectory.
        drop_zero_groups: Leave out groups in which no trained step has an advantage.
        groups: Only these groups; None for all.
        tasks: Only trajectories of these tasks (column `task`); None for all.
        positive_only: Train only steps with an advantage above 0; the others stay as context.
        clip: Limit advantages to ±clip; None for no limit.
        top_share: Train only this share of the steps, those with the largest |advantage|; steps
            as large as the last of them are trained too. The others stay as context.
        tokenizer: Hugging Face id or folder of a tokenizer. A log without token ids is tokenised
            with it; the ids of any other log are held against it.
        overwrite: Replace a finished export.
    """

    unit: str | None = option(None, "what a row is", UNITS)
    weight: str = option("none", "a factor for the loss of each token", WEIGHTS)
    drop_zero_groups: bool = option(
        default=False,
        help="leave out groups without any advantage",
        choices={
            False: "keep every group",
            True: "leave out groups in which no trained step has an advantage",
        },
    )
    groups: Sequence[str] | None = option(None, "only these groups")
    tasks: Sequence[str] | None = option(None, "only these tasks")
    positive_only: bool = option(
        default=False, help="train only steps with an advantage above 0", choices=POSITIVE_ONLY
    )
    clip: float | None = option(None, "limit advantages to ± this")
    top_share: float = option(1.0, "train only this share of the steps, the largest |advantage|")
    tokenizer: str | None = option(None, "Hugging Face id or folder of a tokenizer")
    overwrite: bool = option(default=False, help="replace a finished export")

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            _require(spec, getattr(self, spec.name))
        if self.clip is not None and not 0 < self.clip < math.inf:
            raise ParameterError(f"clip must be above 0 and finite, got {self.clip!r}")
        if not 0 < self.top_share <= 1:
            raise ParameterError(f"top_share must be above 0 and at most 1, got {self.top_share!r}")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Options from names and values.

        Raises:
            ParameterError: An option that does not exist, or a value that it cannot have.
        """
        names = [spec.name for spec in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ParameterError(str(UnknownNameError("export option", unknown[0], names)))
        return cls(**values)

    def recorded(self) -> dict[str, Any]:
        """The options as a manifest keeps them: all that decides what is in the files."""
        return {name: value for name, value in vars(self).items() if name != "overwrite"}


def _require(spec: dataclasses.Field[Any], value: Any) -> None:
    """Refuses a value of the wrong type, or one that is no choice."""
    name, choices = spec.name, spec.metadata["choices"]
    if isinstance(spec.default, bool):
        fits, wanted = isinstance(value, bool), "true or false"
    elif choices:
        fits = isinstance(value, str | None) and value in choices
        wanted = f"one of {[choice for choice in choices if choice is not None]}"
    elif name in ("groups", "tasks"):
        listed = isinstance(value, list | tuple) and bool(value)
        fits = value is None or (listed and all(isinstance(entry, str) for entry in value))
        wanted = "a list of texts with at least one entry, or null"
    elif name in ("clip", "top_share"):
        fits = type(value) in (int, float) or (value is None and spec.default is None)
        wanted = "a number"
    else:
        fits, wanted = isinstance(value, str | None), "text or null"
    if not fits:
        raise ParameterError(f"{name} must be {wanted}, got {value!r}")
