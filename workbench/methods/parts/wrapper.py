"""What methods share that are made from the credit of another method."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.log.steps import Steps
from workbench.methods.base import Method, create
from workbench.parameters import parameter
from workbench.states.keys import parse_action_key, parse_state_key


@dataclass(frozen=True, kw_only=True)
class Wrapper(Method, ABC):
    """A method that is made from the credit of another method."""

    of: str = parameter(
        "gigpo", "the method, or method:dialect, whose credit is taken", parse=create
    )

    def needs(self) -> Sequence[str]:
        """What the other method needs, and this one."""
        return tuple(dict.fromkeys((*create(self.of).needs(), *super().needs())))

    def notes(self, steps: Steps) -> Sequence[str]:
        """What a reader of the other credit should know."""
        return create(self.of).notes(steps)


@dataclass(frozen=True, kw_only=True)
class PairWrapper(Wrapper, ABC):
    """A method that takes another's credit and looks at states and actions."""

    state_key: str = parameter(
        "exact", "key by which steps are in the same state", parse=parse_state_key
    )
    action_key: str = parameter(
        "text", "key by which steps take the same action", parse=parse_action_key
    )
