"""The text of a step that stands for its state.

Which text this is decides proximity more than any temperature: the last observation alone makes
every "Nothing happens." one state, whatever the room.
"""

from __future__ import annotations

import json
import re
import string
from dataclasses import dataclass

import polars as pl

from workbench.errors import MissingInputError, ParameterError

_WORD = re.compile(r"\b([^\W\d_]+)( \d+)?")

PLACEHOLDERS = ("actions", "observation", "task")


def words(text: str) -> frozenset[str]:
    """The words of a text in lower case, each once; a name with its number is one as well.

    Example:
        >>> sorted(words("Put mug 1 there"))
        ['mug', 'mug 1', 'put', 'there']
    """
    found = _WORD.findall(text.lower())
    return frozenset([name for name, _ in found] + [name + number for name, number in found])


@dataclass(frozen=True, kw_only=True)
class StateText:
    """Template of the text that represents a step's state.

    The first step of a trajectory has no previous action: `{actions}` is empty there. Missing
    tasks count as empty text.

    Args:
        template: Text with `{task}`, `{observation}` and `{actions}`; `{{` is a literal brace.
        last_actions: How many previous actions of the trajectory `{actions}` holds, oldest
            first, one per line.

    Example:
        >>> StateText(template="{task}: {observation}").placeholders
        ('task', 'observation')
    """

    template: str = "{observation}"
    last_actions: int = 0

    def __post_init__(self) -> None:
        self._check_placeholders()
        if self.last_actions < 0:
            raise ParameterError(f"last_actions must be 0 or more, got {self.last_actions}")
        if (self.last_actions > 0) != ("actions" in self.placeholders):
            raise ParameterError(
                f"last_actions is {self.last_actions} and the template is {self.template!r}. "
                "Hint: {actions} in the template and last_actions of 1 or more go together"
            )

    def _check_placeholders(self) -> None:
        try:
            parts = list(string.Formatter().parse(self.template))
        except ValueError as error:
            raise ParameterError(f"template {self.template!r}: {error}") from error
        if all(name is None for _, name, _, _ in parts):
            raise ParameterError(
                f"template {self.template!r} names no column, so all states would be the same; "
                f"expected some of {[f'{{{name}}}' for name in PLACEHOLDERS]}"
            )
        unknown = sorted({name for _, name, _, _ in parts if name is not None} - {*PLACEHOLDERS})
        if unknown or any(spec or conversion for _, _, spec, conversion in parts):
            raise ParameterError(
                f"template {self.template!r}: unknown placeholder {unknown or 'format'}; "
                f"expected some of {[f'{{{name}}}' for name in PLACEHOLDERS]}"
            )

    @property
    def placeholders(self) -> tuple[str, ...]:
        """The columns that the template uses, in its order."""
        parts = string.Formatter().parse(self.template)
        return tuple(name for _, name, _, _ in parts if name is not None)

    @property
    def key(self) -> str:
        """Part of the hash of everything made from these texts."""
        return "state-text-1:" + json.dumps([self.template, self.last_actions])

    def texts(self, log: pl.DataFrame) -> pl.Series:
        """The state text of each row.

        Args:
            log: A step log, sorted by group, trajectory and step index.

        Returns:
            (S,) string, named `state_text`.

        Raises:
            MissingInputError: The template uses `{task}` and the log has no task column.
        """
        if "task" in self.placeholders and "task" not in log.columns:
            raise MissingInputError(
                f"the template {self.template!r} needs the column 'task', which this log lacks. "
                "Hint: leave {task} out or add the column"
            )
        columns = {"actions": self._previous_actions()}
        pieces: list[pl.Expr] = []
        for literal, name, _, _ in string.Formatter().parse(self.template):
            pieces.append(pl.lit(literal))
            if name is not None:
                pieces.append(columns.get(name, pl.col(name)).fill_null(""))
        text = pl.concat_str(pieces) if pieces else pl.lit("")
        # A template without any column would give one row only.
        return log.select(pl.concat_str(text, pl.col("trajectory_id").str.head(0)).alias("t"))[
            "t"
        ].alias("state_text")

    def _previous_actions(self) -> pl.Expr:
        if not self.last_actions:
            return pl.lit("")
        action = pl.col("action")
        shifted = [action.shift(back) for back in range(self.last_actions, 0, -1)]
        return pl.concat_str(shifted, separator="\n", ignore_nulls=True).over("trajectory_id")
