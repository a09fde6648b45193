"""Subgoals of a rollout: where one begins, and which replies speak of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from workbench.errors import MissingInputError
from workbench.log.steps import Steps, Truth

_SWITCH = r"(?s)<switch>(.*?)</switch>"
_SUBGOAL = r"(?s)<subgoal>(.*?)</subgoal>"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Subgoals, as far as a log tells them.

    Args:
        new: Whether each step says that it begins one. (S,)
        has_subgoal, has_switch: Whether its reply has these parts. (S,), (S,)
        reworded: Whether it keeps a subgoal but rewords it. (S,)
    """

    new: Truth
    has_subgoal: Truth
    has_switch: Truth
    reworded: Truth

    @classmethod
    def of(cls, steps: Steps) -> Plan:
        """Read them, of each rollout from what it says itself: others change nothing of it.

        Raises:
            MissingInputError: Neither new_subgoal nor a `<switch>` is in the log.
        """
        action, logged = steps.column("action"), steps.column("new_subgoal")
        parts = pl.DataFrame({"action": action}).select(
            switch=pl.col("action").str.extract(_SWITCH),
            subgoal=pl.col("action").str.extract(_SUBGOAL),
        )
        has_switch = parts["switch"].is_not_null().to_numpy()
        has_subgoal = parts["subgoal"].is_not_null().to_numpy()
        is_logged = _somewhere(steps, logged.is_not_null().to_numpy())
        if not (is_logged.any() or has_switch.any()):
            raise MissingInputError(
                "hae asks where subgoals begin, and this log has neither the column `new_subgoal` "
                "nor an action with <switch>KEEP</switch> or another word in it. Hint: HiPER's "
                "prompt asks for that tag; or take turn-gae, which knows no subgoals"
            )
        said = parts["switch"].str.strip_chars().str.to_uppercase()
        by_tag = (~said.is_in(["", "KEEP"])).fill_null(value=False).to_numpy()
        new = np.where(is_logged, logged.fill_null(value=False).to_numpy(), by_tag)
        # What a rollout says by a column holds whether or not its replies have tags.
        has_switch = has_switch | (is_logged & ~_somewhere(steps, has_switch))
        has_subgoal = has_subgoal | (is_logged & ~_somewhere(steps, has_subgoal))
        worded = parts["subgoal"]
        before = worded.shift(1)
        other = ((worded != before) & before.is_not_null()).fill_null(value=False).to_numpy()
        reworded = other & ~new & (steps.step_index > 0)
        return cls(new=new, has_subgoal=has_subgoal, has_switch=has_switch, reworded=reworded)


def _somewhere(steps: Steps, found: Truth) -> Truth:
    """Mask of the steps of trajectories in which something is found at any step. (S,) bool."""
    there: Truth = np.logical_or.reduceat(found, steps.trajectory_start[:-1])[steps.trajectory]
    return there
