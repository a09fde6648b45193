"""Proposed mapping: which name of an unknown file most likely means which column.

A name counts by its words and its spelling, and by what its values can be: steps count up,
trajectories stay while they do, observations are texts. Columns without evidence are left open and
said.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import ParameterError
from workbench.log.columns import STEP_LOG, Form, known
from workbench.readers.base import Diagnostics
from workbench.readers.chat_records import MESSAGES
from workbench.readers.chat_values import GUESSES
from workbench.readers.containers import Cells, records_of
from workbench.readers.dialects import is_conversation
from workbench.readers.evidence import (
    FITS_RECORD,
    Values,
    fits_step,
    given_values,
    is_0_or_1,
    is_plain,
    speaks_by_values,
    weight,
)
from workbench.readers.jsonfiles import lookup
from workbench.readers.names import container_words, head_bytes, mapped_format, names_in
from workbench.readers.nested_steps import are_steps

_LOOKED_AT = 500  # records
_ALIKE = 0.75
SAMPLES = 3
"""Records whose values a proposal shows."""

_OWN = {column.name: (column.name, *column.aliases) for column in STEP_LOG}
_COLUMN_OF = {name: column for column, names in _OWN.items() for name in names}
_WORDS: Mapping[str, frozenset[str]] = {
    "group_id": frozenset({
        "group", "task", "problem", "question", "instance", "goal", "query", "prompt", "case",
        "puzzle", "env", "uid",
    }),
    "trajectory_id": frozenset({
        "trajectory", "traj", "episode", "rollout", "run", "session", "trial", "attempt", "game",
        "sample", "conversation",
    }),
    "step_index": frozenset({
        "step", "turn", "index", "time", "timestep", "iteration", "t", "n", "i", "k", "number",
    }),
    "observation": frozenset({
        "observation", "obs", "state", "saw", "seen", "input", "prompt", "screen", "context",
        "feedback", "view", "question",
    }),
    "action": frozenset({
        "action", "act", "did", "response", "output", "completion", "reply", "answer", "command",
        "move", "call", "chose",
    }),
    "reward": frozenset({
        "reward", "score", "r", "won", "win", "gain", "outcome", "return", "points", "success",
        "solved", "passed", "payoff", "result", "correct", "resolved",
        "grade", "verdict", "rating", "accuracy",
    }),
}  # fmt: skip
"""Column -> words of names that may mean it."""

_NEUTRAL = frozenset({"id", "idx", "name", "nr", "no", "num", "number", "key", "uid", "text"})
"""Last words of a name that say that it is a name, and not of what."""

_OF_STEPS = ("step_index", "trajectory_id", "group_id", "action", "observation", "reward")
_RECORDS: Mapping[Form, str] = {"chat": "conversations", "steps": "steps"}
_OF_CHAT = ("group_id", "trajectory_id", "reward")


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A mapping to start from.

    Args:
        format: The format that reads the file with it.
        form: Whether its records are conversations or steps, and so which columns it may name.
        container: What contains the records, in words.
        columns: Column of the step log -> name in the file.
        reasons: Column -> what speaks for the name.
        open: Columns that are needed and for which nothing was found.
        names: Every name that the file has.
        samples: Name -> its values in the first records.
    """

    format: str
    form: Form
    container: str
    columns: Mapping[str, str]
    reasons: Mapping[str, str]
    open: Sequence[str]
    names: Sequence[str]
    samples: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def mapping(self) -> dict[str, Any]:
        """The mapping as `save_mapping` takes it."""
        return {"columns": dict(self.columns)}

    def lines(self) -> list[str]:
        """The proposal as lines of text."""
        width = max(map(len, [*self.columns, *self.open, "column"]))
        what = _RECORDS[self.form]
        lines = [f"{self.container} of {what}, to be read as {self.format}"]
        lines += [
            f"  {column:<{width}}  {name}  ({self.reasons[column]})"
            for column, name in self.columns.items()
        ]
        lines += [f"  {column:<{width}}  open: no evidence for a name" for column in self.open]
        left = [name for name in self.names if name not in self.columns.values()]
        return [*lines, f"other names: {left}"] if left else lines


def proposed(path: str | Path, format: str | None = None) -> Proposal:
    """A mapping of the names of a file, by their words and values.

    Args:
        path: A file of records or a table, plain and on this machine.
        format: The format, if the user named it.

    Raises:
        ParameterError: The file has names of its own that need no mapping, or none at all.
    """
    path = Path(path)
    chosen, names = mapped_format(path, format), names_in(path)
    if chosen is None or not names:
        raise ParameterError(
            f"{path} takes no mapping: "
            + ("it holds no records" if not names else "its format has fixed names; import it")
        )
    values = _values(path, names)
    form: Form = "chat" if chosen == "chat" else "steps"
    columns, reasons = _of_chat(values) if form == "chat" else _of_steps(values)
    return Proposal(
        format=chosen,
        form=form,
        container=container_words(head_bytes(path)),
        columns=columns,
        reasons=reasons,
        open=[name for name in needed_in(form) if name not in columns],
        names=names,
        samples={name: given[:SAMPLES] for name, given in values.items()},
    )


def hint_of_names(path: Path, name: str) -> str:
    """A hint for an unknown file: its looks, the names it lacks, how to map them; "" of another.

    Args:
        path: The file.
        name: What the user calls it.
    """
    try:
        found = proposed(path)
    except (ParameterError, OSError):
        return ""
    shown = list(found.names)[:12]
    more = f" and {len(found.names) - 12} more" if len(found.names) > 12 else ""
    what = _RECORDS[found.form]
    missing = [column for column in needed_in("steps") if column not in found.names]
    lacks = f"no name is that of {missing}"
    if found.form == "chat":
        key = found.columns.get("messages")
        lacks = f"the messages are under {key!r}, which is none of {list(MESSAGES)}"
        if key is None:
            lacks = "no key holds messages with a role"
    return (
        f"it looks like {found.container} of {what} under other names: {shown}{more}; {lacks}; "
        f"workbench import {name} --propose-map map.json writes a mapping to start from"
    )


def _values(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    cells = Cells(objects=frozenset(name.partition(".")[0] for name in names))
    with closing(records_of(path, Diagnostics(), cells)) as records:
        seen = [record for _, record in itertools.islice(records, _LOOKED_AT)]
    return {name: [lookup(record, name) for record in seen] for name in names}


def _is_talk(value: Any) -> bool:
    return is_conversation(value) or are_steps(value)


def _of_chat(values: Values) -> tuple[dict[str, str], dict[str, str]]:
    columns: dict[str, str] = {}
    reasons: dict[str, str] = {}
    talks = [name for name, given in values.items() if any(map(_is_talk, given))]
    if talks:
        columns["messages"] = sorted(talks, key=lambda name: name not in MESSAGES)[0]
        is_said = any(map(is_conversation, values[columns["messages"]]))
        reasons["messages"] = "messages with a role" if is_said else "steps with an action"
    for column in _OF_CHAT:
        free = [name for name in values if name not in columns.values()]
        fitting = [name for name in free if FITS_RECORD[column](values[name])]
        _take(column, fitting, columns, reasons, GUESSES.get(column, ()))
    _take_rest("chat", values, columns, reasons)
    if "reward" not in columns:
        outcomes = [name for name in values if name not in columns.values()]
        outcomes = [name for name in outcomes if known(name) is None and is_0_or_1(values[name])]
        if len(outcomes) == 1:
            columns["reward"], reasons["reward"] = outcomes[0], "by its values"
    return columns, reasons


def _of_steps(values: Values) -> tuple[dict[str, str], dict[str, str]]:
    columns: dict[str, str] = {}
    reasons: dict[str, str] = {}
    for column in _OF_STEPS:
        free = [name for name in values if name not in columns.values()]
        fitting = [name for name in free if fits_step(column, values[name], values, columns)]
        _take(column, fitting, columns, reasons)
        if column not in columns and fitting and speaks_by_values(column, columns):
            fitting = [name for name in fitting if is_plain(column, name, values, columns)]
            best = max(fitting, key=lambda name: weight(column, values[name]), default=None)
            if best is not None:
                columns[column], reasons[column] = best, "by its values"
    _take_rest("steps", values, columns, reasons)
    return {column: columns[column] for column in sorted(columns, key=_order)}, reasons


def _take_rest(
    form: Form, values: Values, columns: dict[str, str], reasons: dict[str, str]
) -> None:
    """Give the other columns that a form asks for the names that are spelled like them."""
    for column in asked_in(form):
        if column not in columns and column not in _WORDS:
            free = [name for name in values if name not in columns.values()]
            fitting = [
                name
                for name in free
                if not any(isinstance(value, list | dict) for value in given_values(values[name]))
            ]
            _take(column, fitting, columns, reasons)


def asked_in(form: Form) -> list[str]:
    """The columns that a form of mapping asks for."""
    return [column.name for column in STEP_LOG if form in column.asked_in]


def needed_in(form: Form) -> list[str]:
    """Columns that a log must have; rewards may be given apart from it, or not at all."""
    if form == "chat":
        return ["messages"]
    return [column.name for column in STEP_LOG if column.required and column.name != "reward"]


def _order(column: str) -> int:
    return list(_OWN).index(column)


def _take(
    column: str,
    fitting: Sequence[str],
    columns: dict[str, str],
    reasons: dict[str, str],
    first: Sequence[str] = (),
) -> None:
    """Give a column the fitting name whose words speak most for it, if any do."""
    scored = [(_score(name, column, first), -at) for at, name in enumerate(fitting)]
    if scored and max(scored)[0]:
        at = -max(scored)[1]
        columns[column], reasons[column] = fitting[at], "by its name"


def _score(name: str, column: str, first: Sequence[str] = ()) -> int:
    """The weight of a name for a column, from 0 for nothing to 4 for its own."""
    last = name.rpartition(".")[2]
    own, words = (*_OWN[column], *first), _WORDS.get(column, frozenset())
    if last in own:
        return 4
    if _COLUMN_OF.get(last, column) != column:  # turn_reward is no reward; a task may be a group
        return 1 if last in words else 0
    if last.lower() in words:
        return 3
    parts = [part.lower() for part in re.findall(r"[A-Z]?[a-z]+|[A-Z]+|\d+", last)]
    while len(parts) > 1 and parts[-1] in _NEUTRAL:
        parts.pop()
    # The last word is what a name is; those before say of what.
    if (parts and parts[-1] in words) or difflib.get_close_matches(
        last.lower(), own, n=1, cutoff=_ALIKE
    ):
        return 2
    return 1 if set(parts) & words else 0


def may_be_reward(name: str) -> bool:
    """True where the words of a name that the step log does not know are those of a reward."""
    return _score(name, "reward") > 1
