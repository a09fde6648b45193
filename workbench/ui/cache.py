"""Every cache of the app, keyed by content: two people share a result, never a session.

Frames and vectors live in `cache_resource`, where they are not copied; nothing changes them. Logs
are known by the digest of their file, so a cached result never belongs to another log.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import streamlit as st

from workbench.artefacts import Artefacts, StoredLog
from workbench.compare import Comparison, compare
from workbench.embed import Progress
from workbench.estimators import Credit, create, methods
from workbench.facts import Facts, facts
from workbench.space import Space
from workbench.steps import Steps
from workbench.ui.library import Library, LogEntry


@st.cache_resource(show_spinner=False)
def library(root: str, sources: tuple[str, ...]) -> Library:
    """The logs of this server: those of the command line, and those uploaded to it."""
    return Library(Path(root), sources)


@st.cache_resource(max_entries=16, show_spinner=False)
def stored(log_id: str, _entry: LogEntry) -> StoredLog:
    """A log's frame and report."""
    return StoredLog(_entry.folder)


@st.cache_resource(max_entries=16, show_spinner=False)
def log_facts(log_id: str, _entry: LogEntry) -> Facts:
    """What is in a log."""
    return facts(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def steps(log_id: str, _entry: LogEntry) -> Steps:
    """A log's scored steps."""
    return Steps.from_log(stored(log_id, _entry).frame)


@st.cache_resource(max_entries=16, show_spinner=False)
def space(log_id: str, embedder: str, _entry: LogEntry) -> Space:
    """A log's space; its vectors are made by `vectors`, outside any cache, with progress."""
    return Artefacts(_entry.workspace).space(steps(log_id, _entry), embedder)


def needs_vectors(method: str) -> bool:
    """Whether a method asks for similarities of the space's embedder."""
    name, _, dialect = method.partition(":")
    entry = methods()[name]
    own = dialect and entry.dialects[dialect].fields.get("embedder")
    return "similarity" in entry.needs and not own


def has_vectors(log_id: str, embedder: str, entry: LogEntry) -> bool:
    """Whether the similarities of a log are there."""
    return space(log_id, embedder, entry).has_similarity


def vectors(log_id: str, embedder: str, entry: LogEntry, progress: Progress) -> None:
    """Makes a log's similarities; what is finished when it is stopped is kept."""
    space(log_id, embedder, entry).similarity(progress=progress)


@st.cache_resource(max_entries=64, show_spinner=False)
def _credit(log_id: str, embedder: str, method: str, fields: str, _entry: LogEntry) -> Credit:
    where = space(log_id, embedder, _entry)
    return create(method, json.loads(fields))(where.steps, where)


def credit(
    log_id: str, embedder: str, method: str, params: Mapping[str, Any], entry: LogEntry
) -> Credit:
    """The credit of a log under a method with fields set."""
    key = embedder if needs_vectors(method) else "tfidf"
    return _credit(log_id, key, method, json.dumps(params, sort_keys=True), entry)


@st.cache_resource(max_entries=32, show_spinner=False)
def _comparison(key: str, _make: Callable[[], Comparison]) -> Comparison:
    return _make()


def comparison(
    log_id: str, embedder: str, chosen: Mapping[str, Mapping[str, Any]], entry: LogEntry
) -> Comparison:
    """Methods of a log compared. `chosen` is method -> fields set."""
    key = json.dumps([log_id, embedder, chosen], sort_keys=True)

    def make() -> Comparison:
        credits = {
            name: credit(log_id, embedder, name, params, entry) for name, params in chosen.items()
        }
        return compare({name: found.table() for name, found in credits.items()}, top=50)

    return _comparison(key, make)
