"""Keys by what came before: the last states, and the last actions if asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.log.steps import Index, Steps
from workbench.parameters import parameter
from workbench.states.keys.base import (
    Key,
    KeySpace,
    labels,
    parse_action_key,
    parse_state_key,
    state_key,
)


def earlier(steps: Steps, value: Index, back: int) -> Index:
    """The value of the step so many steps earlier; -1 before the trajectory's start. (S,) int64."""
    shifted = np.full_like(value, -1)
    shifted[back:] = value[: len(value) - back]
    shifted[steps.step_index < back] = -1
    return shifted


@state_key("history")
@dataclass(frozen=True, kw_only=True)
class History(Key):
    """The same last states, the present one included.

    A step with a shorter past shares a label only with steps whose past is as short.
    """

    length: int = parameter(2, "how many states, the present one included", minimum=1, maximum=1000)
    of: str = parameter("exact", "the key of each state", parse=parse_state_key)
    actions: bool = parameter(False, "whether the actions between the states are part of it")
    action_key: str = parameter("text", "the key of each action", parse=parse_action_key)

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by the last `length` labels of the other key."""
        states = space.state_key(self.of)
        past = [earlier(steps, states, back) for back in range(self.length)]
        if self.actions:
            acts = space.action_key(self.action_key)
            past += [earlier(steps, acts, back) for back in range(1, self.length)]
        return labels(steps, *past)

    def needs(self) -> Sequence[str]:
        """Inputs of the keys of states and actions."""
        of_actions = parse_action_key(self.action_key).needs() if self.actions else ()
        return (*parse_state_key(self.of).needs(), *of_actions)

    def looks_back(self) -> bool:
        """Unless it is the present state alone, by a key that does not look back."""
        of_actions = self.actions and parse_action_key(self.action_key).looks_back()
        return self.length > 1 or of_actions or parse_state_key(self.of).looks_back()
