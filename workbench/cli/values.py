"""Values of options that are written as text: fields of methods, options of an export, a step."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.errors import ParameterError

EXPORT = "export"
"""Before the options of the export where -p also sets fields of methods."""


def _pairs(pairs: Sequence[str] | None) -> dict[str, Any]:
    """`name=value` pairs; a value that parses as JSON is that, else it is text."""
    values: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ParameterError(f"-p takes FIELD=VALUE, got {pair!r}")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values


def field_values(pairs: Sequence[str] | None, owner: str = "") -> dict[str, Any]:
    """Fields of the one owner that there is, from `FIELD=VALUE` or `OWNER.FIELD=VALUE`."""
    return {name.removeprefix(f"{owner}."): value for name, value in _pairs(pairs).items()}


def run_values(
    pairs: Sequence[str] | None, methods: Sequence[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Fields by method, and the options of the export.

    Args:
        pairs: `METHOD.FIELD=VALUE` or `export.OPTION=VALUE`; `FIELD=VALUE` where one method runs.
        methods: The methods that run.

    Raises:
        ParameterError: A pair is of no method that runs.
    """
    by_owner: dict[str, dict[str, Any]] = {EXPORT: {}}
    for name, value in _pairs(pairs).items():
        owner, dot, field = name.rpartition(".")
        if not dot and len(methods) == 1:
            owner = methods[0]
        if owner not in (*methods, EXPORT):
            raise ParameterError(
                f"-p takes METHOD.FIELD=VALUE with one of {list(methods)}, or "
                f"{EXPORT}.OPTION=VALUE, got {name!r}"
            )
        by_owner.setdefault(owner, {})[field] = value
    return by_owner, by_owner.pop(EXPORT)


def export_values(
    options: Mapping[str, Any],
    tokenizer: str | None,
    template_loss: str | None,
    groups: Sequence[str] | None,
    tasks: Sequence[str] | None,
    redact: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The options of an export, from `-p` and from those that have an option of their own.

    Raises:
        ParameterError: One is given both ways.
    """
    named = {
        "tokenizer": tokenizer,
        "template_loss": template_loss,
        "groups": groups,
        "tasks": tasks,
        "redact": redact,
    }
    given = {name: value for name, value in named.items() if value}
    twice = sorted(set(given) & set(options))
    if twice:
        raise ParameterError(f"{twice[0]} is given twice, by -p and by its own option")
    return {**options, **given}


def step_name(text: str) -> tuple[str, int]:
    """Trajectory and step index of `TRAJECTORY:INDEX`; a trajectory id may hold colons itself."""
    trajectory, colon, index = text.rpartition(":")
    if not colon or not index.isdecimal():
        raise ParameterError(
            f"--step takes TRAJECTORY:INDEX such as task-1/rollout-0:3, got {text!r}"
        )
    return trajectory, int(index)
