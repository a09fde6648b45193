"""The options of an export: what goes into a batch, how it is laid out, how it is weighed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from workbench.errors import ParameterError, UnknownNameError
from workbench.parameters import Parameterised, fields, parameter

UNITS: Mapping[str | None, str] = {
    None: "trajectories, and steps where prompts do not follow on",
    "trajectory": "one row per trajectory",
    "step": "one row per step, with all that led to it",
}
STEPS_ONLY: Mapping[str | None, str] = {
    None: "steps, the only unit that this trainer takes",
    "step": UNITS["step"],
}
WEIGHTS: Mapping[str, str] = {
    "none": "1 everywhere",
    "inverse_length": "1 / number of trained steps of the trajectory, 0 where there is none",
}
MARKED: Mapping[str, str] = {
    "all": "train steps whether people marked them or not",
    "only": "train only steps that people marked",
    "without": "do not train steps that people marked",
}
"""Not one of `CHOICES`: it needs a log with marks."""

CHOICES: Mapping[str, Mapping[Any, str]] = {
    "unit": UNITS,
    "weight": WEIGHTS,
    "drop_zero_groups": {
        False: "keep every group",
        True: "leave out groups in which no trained step has an advantage",
    },
    "template_loss": {
        "refuse": "refuse what the chat template does not show",
        "allow": "train without what it does not show, leave out what it cannot render; counted",
    },
    "weights": {
        "float": "the advantage of each reply",
        "binary": "1 for each reply that is trained, 0 for all others",
    },
    "positive_only": {
        False: "train every step that has an advantage",
        True: "rejection sampling: train only steps with an advantage above 0",
    },
}
"""Option -> the values it can have, each with what it means, for those that have few."""


def _texts(value: Sequence[Any]) -> None:
    """Refuse a list that holds nothing, or anything but texts."""
    if not value or not all(isinstance(entry, str) for entry in value):
        raise ParameterError(f"must be a list of at least one text, got {value!r}")


@dataclass(frozen=True, kw_only=True)
class Options(Parameterised):
    """Options of every target.

    Args:
        unit: What a row is; None for what suits the target.
        weight: A key of `WEIGHTS`: a factor for the loss of each token of a trajectory.
        drop_zero_groups: Leave out groups in which no trained step has an advantage.
        positive_only: Train only steps with an advantage above 0; the others stay as context.
        marked: A key of `MARKED`: which steps are trained by people's marks (column `mark` of the
            log); the others stay as context.
        filter: Train only the steps that this filter leaves (column `in_filter` of the log, which
            `workspace.chosen.for_export` makes); the others stay as context, and trajectories
            without any are left out. None for all.
        groups: Only these groups; None for all.
        tasks: Only trajectories of these tasks (column `task`); None for all.
        clip: Limit advantages to ±clip; None for no limit.
        top_share: Train only this share of the steps, those with the largest |advantage|; steps
            as large as the last of them are trained too. The others stay as context.
        tokenizer: Hugging Face id or folder of a tokenizer. A log without token ids is tokenised
            with it; the ids of any other log are held against it.
        template_loss: A key of `CHOICES`: what to do where its chat template does not show all
            that a conversation holds.
        redact: Files of rules by which texts are replaced, as `log.redaction` reads them; `likely`
            for its own. None for no redaction.
        overwrite: Replace a finished export.

    Raises:
        ParameterError: A value is of the wrong type or out of range; all such are named.
    """

    unit: Literal["trajectory", "step"] | None = parameter(None, "what a row is")
    weight: Literal["none", "inverse_length"] = parameter(
        "none", "a factor for the loss of each token"
    )
    drop_zero_groups: bool = parameter(default=False, help="leave out groups without any advantage")
    positive_only: bool = parameter(
        default=False, help="train only steps with an advantage above 0"
    )
    marked: Literal["all", "only", "without"] = parameter(
        "all", "which steps are trained, by the marks that people gave them"
    )
    filter: str | None = parameter(None, "train only the steps that this filter leaves")
    groups: list[str] | None = parameter(None, "only these groups", parse=_texts)
    tasks: list[str] | None = parameter(None, "only these tasks", parse=_texts)
    clip: float | None = parameter(
        None, "limit advantages to ± this", minimum=0.0, minimum_exclusive=True
    )
    top_share: float = parameter(
        1.0,
        "train only this share of the steps, the largest |advantage|",
        minimum=0.0,
        maximum=1.0,
        minimum_exclusive=True,
    )
    tokenizer: str | None = parameter(None, "Hugging Face id or folder of a tokenizer")
    template_loss: Literal["refuse", "allow"] = parameter(
        "refuse", "what to do where the tokenizer's chat template does not show all"
    )
    redact: list[str] | None = parameter(
        None,
        "files of rules by which texts are replaced; likely for the built-in ones",
        parse=_texts,
    )
    overwrite: bool = parameter(default=False, help="replace a finished export")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Options from names and values.

        Raises:
            ParameterError: An option that does not exist, or a value that it cannot have.
        """
        names = list(fields(cls))
        unknown = sorted(set(values) - set(names))
        if unknown:
            raise ParameterError(str(UnknownNameError("export option", unknown[0], names)))
        return cls(**values)

    def recorded(self) -> dict[str, Any]:
        """The options as a manifest keeps them: all that decides what is in the files."""
        return {name: value for name, value in vars(self).items() if name != "overwrite"}


@dataclass(frozen=True, kw_only=True)
class SupervisedOptions(Options):
    """Options of supervised training.

    A trainer that knows no weights, or only 0 and 1, trains on everything alike: therefore only
    steps with an advantage above 0 are trained unless the user asks for all.

    Args:
        positive_only: Train only steps with an advantage above 0.
        weights: A key of `CHOICES`: the weight of a reply that is trained.

    Raises:
        ParameterError: Binary weights are asked for replies of any sign.
    """

    positive_only: bool = parameter(default=True, help="train only steps with an advantage above 0")
    weights: Literal["float", "binary"] = parameter(
        "float", "the advantage of each reply, or 1 where it is trained"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.weights == "binary" and not self.positive_only:
            raise ParameterError(
                "weights=binary trains every reply alike, also those with a negative advantage. "
                "Hint: leave positive_only=true, or take weights=float"
            )
