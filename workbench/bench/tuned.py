"""A method as a user has it who tunes it first: set by held-out rollouts of the log it scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workbench.analysis.tuning import held_out as held_out_module
from workbench.analysis.tuning.held_out import held_out
from workbench.bench.code import code_digest
from workbench.log.steps import Steps
from workbench.methods import Method
from workbench.states.space import Space


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """A method whose field `held_out` chooses; where it recommends nothing, the method as it is.

    Args:
        method: The method before it is tuned.
    """

    method: Method

    def chosen(self, steps: Steps, space: Space) -> tuple[Method, str]:
        """The method as it is recommended for a log, and what its field is set to."""
        found = held_out(self.method, self.method(steps, space), space)
        setting = found.recommended
        if setting is None:
            setting = self.method.values[found.field]
        return with_setting(self.method, found.field, setting), str(setting)

    @staticmethod
    def code() -> str:
        """Digest of how a value is chosen."""
        return code_digest({Path(str(held_out_module.__file__))})

    def needs(self) -> Sequence[str]:
        """Inputs of the method, and the similarities of its tuned field."""
        return (*self.method.needs(), "similarity")


def with_setting(method: Method, field: str, setting: float | str) -> Method:
    """The method with a field set."""
    changed: dict[str, Any] = {field: setting}
    return replace(method, **changed)
