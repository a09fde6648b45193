"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.errors import ParameterError

Log = Annotated[str, typer.Argument(metavar="LOG", help="A log: file, folder or glob.")]
Format = Annotated[
    str | None, typer.Option("--format", help="Format of the files; recognised by content.")
]
Map = Annotated[
    Path | None, typer.Option("--map", help="JSON file that maps columns: see the README.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable lines and say which.")
]
Params = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="FIELD=VALUE", help="Set a field; values are read as JSON."),
]
MethodName = Annotated[str, typer.Option("-m", metavar="METHOD[:DIALECT]", help="The method.")]
StepName = Annotated[str, typer.Option("--step", metavar="TRAJECTORY:INDEX", help="The step.")]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="tfidf, or a sentence-transformers id or path. [default: all-MiniLM-L6-v2]",
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="TEMPLATE",
        help="State text of a step, from {observation}, {task}, {actions}.",
    ),
]
LastActions = Annotated[
    int,
    typer.Option(
        "--last-actions", min=0, max=100, help="How many previous actions {actions} holds."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder for vectors. [default: the log's workspace, or the user's cache]"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[Path, typer.Option("-o", metavar="FILE", help="Where to write.")]


def field_values(pairs: Sequence[str] | None) -> dict[str, Any]:
    """`field=value` pairs; a value that parses as JSON is that, else it is text."""
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


def method_field_values(pairs: Sequence[str] | None, methods: Sequence[str]) -> dict[str, Any]:
    """`method.field=value` pairs by method."""
    by_method: dict[str, dict[str, Any]] = {}
    for name, value in field_values(pairs).items():
        method, dot, field = name.rpartition(".")
        if not dot or method not in methods:
            raise ParameterError(f"-p takes METHOD.FIELD=VALUE with one of {methods}, got {name!r}")
        by_method.setdefault(method, {})[field] = value
    return by_method


def step_name(text: str) -> tuple[str, int]:
    """Trajectory and step index of `TRAJECTORY:INDEX`; a trajectory id may hold colons itself."""
    trajectory, colon, index = text.rpartition(":")
    if not colon or not index.isdecimal():
        raise ParameterError(
            f"--step takes TRAJECTORY:INDEX such as task-1/rollout-0:3, got {text!r}"
        )
    return trajectory, int(index)


def as_json_text(value: Any) -> str:
    """A value as people and programs can read it."""
    return json.dumps(value, indent=1, ensure_ascii=False)
