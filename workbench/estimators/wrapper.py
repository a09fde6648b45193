"""What methods share that change the credit of another method by what happens in its states."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.estimators.base import Estimator, create
from workbench.keys import parse_action_key, parse_state_key
from workbench.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class PairWrapper(Estimator, ABC):
    """A method that takes another's credit and looks at states and actions."""

    of: str = parameter(
        "grpo", "the method, or method:dialect, whose credit is taken", parse=create
    )
    state_key: str = parameter(
        "exact", "key by which steps are in the same state", parse=parse_state_key
    )
    action_key: str = parameter(
        "text", "key by which steps take the same action", parse=parse_action_key
    )

    def needs(self) -> Sequence[str]:
        """What the other method needs, and the keys."""
        return tuple(dict.fromkeys((*create(self.of).needs(), *super().needs())))
