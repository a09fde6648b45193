"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import functools
import inspect
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Logs = Annotated[
    list[str],
    typer.Argument(metavar="LOG", help="Files, folders, globs, a workspace, or a bundled log."),
]
Format = Annotated[
    str | None, typer.Option("--format", help="Format of the files; recognised by content.")
]
Map = Annotated[
    Path | None,
    typer.Option("--map", help='JSON file that maps columns: {"columns": {"reward": "score"}}.'),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable lines and list them.")
]
Untrained = Annotated[
    list[str] | None,
    typer.Option(
        "--untrained",
        metavar="finish_reason=REASON",
        help="Stop reason whose trajectories count but are not trained; repeat for several.",
    ),
]
KeepMasked = Annotated[
    bool, typer.Option("--keep-masked", help="Count and train trajectories that the log masks.")
]
MaxUnpacked = Annotated[
    int | None,
    typer.Option(
        "--max-unpacked",
        metavar="BYTES",
        min=1,
        help="Refuse a compressed file that unpacks to more. [default: 200 times its size]",
    ),
]
MaxNesting = Annotated[
    int | None,
    typer.Option(
        "--max-nesting",
        metavar="LEVELS",
        min=1,
        help="Refuse a record whose lists and objects lie deeper in each other. [default: 250]",
    ),
]
Rewards = Annotated[
    str | None,
    typer.Option(
        "--rewards",
        metavar="FILE",
        help=(
            "Rewards by trajectory, for a log without: CSV, JSON lines or Parquet with "
            "trajectory_id, reward[, success, group_id]."
        ),
    ),
]
Quarantine = Annotated[
    Path | None,
    typer.Option(
        "--quarantine",
        metavar="FILE",
        help="Write trajectories that break a rule here and go on without them.",
    ),
]
_READING: Mapping[str, tuple[Any, Any]] = {
    "format": (Format, None),
    "mapping": (Map, None),
    "rewards": (Rewards, None),
    "skip_bad": (SkipBad, False),
    "untrained": (Untrained, None),
    "keep_masked": (KeepMasked, False),
    "max_unpacked": (MaxUnpacked, None),
    "max_nesting": (MaxNesting, None),
    "quarantine": (Quarantine, None),
}
"""Argument -> option and default, of every command that reads a log."""

Reading = Mapping[str, Any]
"""The options of reading a log: a value for each name of `_READING`."""

Params = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="FIELD=VALUE", help="Set a field; values are read as JSON."),
]
TokenizerName = Annotated[
    str | None,
    typer.Option(
        "--tokenizer",
        help="Tokenizer of the policy, for a log of texts: a Hugging Face id or a folder.",
    ),
]
TemplateLoss = Annotated[
    str | None,
    typer.Option(
        "--template-loss",
        metavar="refuse|allow",
        help=(
            "Behaviour where the tokenizer's chat template does not show all that a conversation "
            "holds: refuse, or go on, without trajectories that it cannot render, and count it. "
            "[default: refuse]"
        ),
    ),
]
OnlyGroups = Annotated[
    list[str] | None,
    typer.Option("--group", help="Export only this group; repeat for several."),
]
OnlyTasks = Annotated[
    list[str] | None, typer.Option("--task", help="Export only this task; repeat for several.")
]
MarksOf = Annotated[
    Path | None,
    typer.Option(
        "--marks",
        metavar="WORKSPACE",
        help="Workspace whose marks `-p marked=only` and `without` mean. [default: that of the "
        "log, else the app's]",
    ),
]
Redact = Annotated[
    list[str] | None,
    typer.Option(
        "--redact",
        metavar="RULES",
        help="Replace texts by a file of rules, `name = regex → replacement` per line; `likely` "
        "for likely keys, tokens, passwords and mail addresses; repeat for several. [default: off]",
    ),
]
EXPORT_OPTIONS = (
    "unit=step, weight=inverse_length, drop_zero_groups=true, positive_only=true, "
    "marked=only|without, filter='FILTER', clip=NUMBER, top_share=NUMBER"
)
MethodName = Annotated[str, typer.Option("-m", metavar="METHOD[:DIALECT]", help="The method.")]
StepName = Annotated[str, typer.Option("--step", metavar="TRAJECTORY:INDEX", help="The step.")]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="tfidf, or a sentence-transformers id or path; fast: before one runs it by OpenVINO. "
        "[default: that of the workspace's credits, else all-MiniLM-L6-v2]",
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
    typer.Option("--last-actions", min=0, max=100, help="Number of previous actions in {actions}."),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder for vectors. [default: the log's workspace, or the user's cache]"
    ),
]
AllowUnchained = Annotated[
    bool,
    typer.Option(
        "--allow-unchained",
        help="Score even where a reader guessed the order of steps.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="N",
        min=1,
        help="Read files and work on parts of the log in N processes, with little of it in "
        "memory. [default: the whole log at once]",
    ),
]
EngineName = Annotated[
    str | None, typer.Option("--engine", help="Engine of the parts: local or ray.")
]
Address = Annotated[
    str | None,
    typer.Option(
        "--address", help="Address of a Ray cluster, such as auto. [default: one is started]"
    ),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON document, and errors as JSON.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing result, whatever its source.")
]
LogTo = Annotated[
    str | None,
    typer.Option(
        "--log-to",
        metavar="TRACKER:PLACE",
        help="Give the numbers to a tracker as well, such as tensorboard:runs/.",
    ),
]
Output = Annotated[Path, typer.Option("-o", metavar="FILE", help="Where to write.")]


def reads_logs(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of reading, which it gets as its argument `reading`."""
    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    own = [one for name, one in signature.parameters.items() if name != "reading"]
    added = [
        inspect.Parameter(name, keyword, default=default, annotation=option)
        for name, (option, default) in _READING.items()
    ]

    @functools.wraps(command)
    def call(**values: Any) -> None:
        reading = {name: values.pop(name) for name in _READING}
        command(**values, reading=reading)

    parameters = [*(one.replace(kind=keyword) for one in own), *added]
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {one.name: one.annotation for one in parameters}
    return call


def reading_words(reading: Reading) -> list[str]:
    """The options of the command line that read a log the same way; defaults are left away."""
    words = []
    for name, (option, default) in _READING.items():
        value = reading[name]
        if value == default:
            continue
        flag = option.__metadata__[0].default  # where Typer keeps the first name of an annotation
        if value is True:
            words.append(flag)
        else:
            for one in value if isinstance(value, list) else [value]:
                words += [flag, str(one)]
    return words


def as_json_text(value: Any) -> str:
    """A value as people and programs can read it; a number that is not known is null."""
    return json.dumps(_known(value), indent=1, ensure_ascii=False)


def _known(value: Any) -> Any:
    """The value with null for NaN and infinity, which JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _known(inner) for key, inner in value.items()}
    return [_known(inner) for inner in value] if isinstance(value, list | tuple) else value
