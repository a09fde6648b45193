"""The command that reproduces a view."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from workbench.ui import state
from workbench.ui.library import LogEntry


def popover(*commands: str) -> None:
    """A button that shows commands, each with a button to copy it."""
    with st.popover("Command", icon=":material/terminal:", help="The command line for this view"):
        for command in commands:
            st.code(command, language="bash", wrap_lines=True)


def workbench(*parts: str) -> str:
    """One command line, quoted for a shell."""
    return shlex.join(["workbench", *parts])


def score(entry: LogEntry, method: str, output: str) -> str:
    """The command that scores a log as the view does."""
    where = space(entry, method)
    return workbench("score", entry.source, *named(method), *where, "-o", output)


def scores(entry: LogEntry, methods: Sequence[str]) -> Sequence[str]:
    """The commands that score a log under methods, a file each; without one, what is in the log."""
    if not methods:
        return [workbench("facts", entry.source)]
    return [score(entry, name, f"{name.replace(':', '-')}.parquet") for name in methods]


def named(method: str) -> Sequence[str]:
    """The options that name a method as the view has it; a kept variant by what it changes."""
    from workbench.methods.base import find
    from workbench.methods.what_if import NAME

    info, dialect = find(method)
    given = state.current().params(method)
    if info.name == NAME and dialect is not None:
        return ["-m", NAME, *params({**dialect.fields, **given})]
    return ["-m", method, *params(given)]


def params(fields: Mapping[str, Any]) -> Sequence[str]:
    """Fields as `-p` options."""
    return [part for name, value in fields.items() for part in ("-p", f"{name}={_json(value)}")]


def space(entry: LogEntry, method: str) -> Sequence[str]:
    """The options that give a method the vectors that the view has, and guessed chains."""
    from workbench.methods import create
    from workbench.ui.cache import needs_vectors

    chains = ["--allow-unchained"] if entry.unchained and create(method).chains() else []
    if not needs_vectors(method):
        return chains
    vectors = entry.workspace / "embeddings"
    return ["--embedder", state.current().embedder, "--cache", str(vectors), *chains]


def _json(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
