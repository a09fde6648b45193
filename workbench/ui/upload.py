"""Adding a log: files or a path, what was wrong with them, and which name means which column."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import polars as pl
import streamlit as st

from workbench.errors import LogError, WorkbenchError
from workbench.files import digest
from workbench.log.columns import known
from workbench.readers.base import FORMATS
from workbench.readers.bounds import LEVELS
from workbench.readers.importing import proposal_of
from workbench.readers.proposals import Proposal, asked_in, needed_in
from workbench.ui import frame, state
from workbench.ui.hints import of_error
from workbench.ui.library import LogEntry
from workbench.ui.text import show
from workbench.wording import number_of, shortened

_MOST_NAME = 120
"""Bytes of the name under which an upload is kept."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """A request to add files.

    Args:
        paths: Files, folders or patterns.
        format: Name of the format; None to recognise it.
        quarantine: Set broken trajectories aside.
        skip_bad: Leave out unreadable lines.
        max_unpacked: Bytes to which a compressed file may unpack; None for the usual bound.
        max_nesting: Levels to which a record may nest; None for the usual bound.
    """

    paths: tuple[str, ...]
    format: str | None
    quarantine: bool
    skip_bad: bool
    max_unpacked: int | None
    max_nesting: int | None


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A file that could not be added, and the reason.

    Args:
        given: What was asked for.
        problems: All that is wrong, in words.
        proposal: Which name of the first file most likely means what, where saying so may help.
        partly: Whether the rest may be imported without what is broken.
    """

    given: Given
    problems: tuple[str, ...]
    proposal: Proposal | None = None
    partly: bool = False


def area() -> None:
    """The place where a log is added; it stays open while there is something to put right."""
    refused: Refused | None = st.session_state.get(state.REFUSED)
    with st.expander("Add a log", expanded=refused is not None, icon=":material/add:"):
        given = _asked()
        if given:
            _add(given)
        if refused:
            _show_problems(refused)
            if refused.proposal:
                _mapping_form(refused.given, refused.proposal)


def named_shortly(text: str, paths: Sequence[str]) -> str:
    """A text about files with their names in place of their paths; of two alike, the folder too."""
    names = {path: PurePosixPath(path).name for path in paths}
    alike = len(set(names.values())) < len(names)
    for path in sorted(names, key=len, reverse=True):
        text = text.replace(path, str(PurePosixPath(*PurePosixPath(path).parts[-1 - alike :])))
    return text


def _asked() -> Given | None:
    """The controls; what they say when the button is pressed."""
    number = st.session_state.get(state.ADDED, 0)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        files = st.file_uploader(
            "Files of one format become one log",
            accept_multiple_files=True,
            key=state.UPLOAD.format(number=number),
            on_change=_arrived,
            help=f"At most {st.get_option('server.maxUploadSize'):,} MB per file. They are kept on "
            "the machine that runs this app, until `workbench clean --remove uploads` there, and "
            "sent nowhere else.",
        )
        path = ""
        if frame.allow_paths():
            path = st.text_input(
                "Or a file, folder or pattern on the machine that runs this app",
                key=state.PATH_INPUT.format(number=number),
                on_change=_arrived,
                placeholder="runs/2024-05-01/*.jsonl",
            )
    with right:
        format = _format()
        skip_bad = st.checkbox("Leave out unreadable lines", key=state.SKIP_BAD)
        quarantine = st.checkbox("Set broken trajectories aside", key=state.QUARANTINE)
        # Whoever may only upload must not lift what keeps the server's memory.
        max_unpacked, max_nesting = _bounds() if frame.allow_paths() else (None, None)
        pressed = st.button(
            "Import again",
            key=state.IMPORT,
            disabled=not files and not path.strip(),
            help="What is uploaded is imported at once; this takes the choices above.",
        )
    if not st.session_state.pop(state.ARRIVED, False) and not pressed:
        return None
    paths = [frame.library().keep_upload(_file_name(file.name), file.getvalue()) for file in files]
    if path.strip():
        paths.append(path.strip())
    if not paths:
        st.session_state.pop(state.REFUSED, None)  # what was wrong is taken away again
        return None
    return Given(
        paths=tuple(paths),
        format=format,
        quarantine=quarantine,
        skip_bad=skip_bad,
        max_unpacked=max_unpacked,
        max_nesting=max_nesting,
    )


def _arrived() -> None:
    """Files or a path were given: they are imported without another click."""
    st.session_state[state.ARRIVED] = True


def _bounds() -> tuple[int | None, int | None]:
    """The bytes to which a file may unpack and the levels to which it may nest, if typed in."""
    megabytes: int | None = st.number_input(
        "Compressed files may unpack to (MB)",
        min_value=1,
        value=None,
        placeholder="200 times their size",
        key=state.MAX_UNPACKED,
    )
    levels: int | None = st.number_input(
        "Records may nest to (levels)",
        min_value=1,
        value=None,
        placeholder=str(LEVELS),
        key=state.MAX_NESTING,
    )
    return None if megabytes is None else megabytes * 1_000_000, levels


def _format() -> str | None:
    known_formats = FORMATS
    name = st.selectbox(
        "Format",
        ["", *known_formats],
        format_func=lambda name: (
            f"{name}: {known_formats[name].description}" if name else "Recognised by content"
        ),
        key=state.UPLOAD_FORMAT,
    )
    return name or None


def _file_name(name: str) -> str:
    """The last part of a name that a browser sent; never one that means a folder.

    Control characters are left out. What is longer than a file system takes loses its middle: its
    end tells a reader what it may be.
    """
    last = "".join(char for char in PureWindowsPath(name).name if char.isprintable())
    encoded = last.encode(errors="replace")
    if len(encoded) > _MOST_NAME:
        half = _MOST_NAME // 2
        start, end = encoded[:half], encoded[-half:]
        last = f"{start.decode(errors='ignore')}…{end.decode(errors='ignore')}"
    return "upload" if last in {"", ".", ".."} else last


def _add(given: Given, mapping: dict[str, Any] | None = None, format: str | None = None) -> None:
    """Import and show the new log, or keep what is wrong; either way the page reruns."""
    try:
        with st.spinner("Reading …"):
            entry = frame.library().add(
                given.paths,
                format=format or given.format,
                mapping=mapping,
                quarantine=given.quarantine,
                skip_bad=given.skip_bad,
                max_unpacked=given.max_unpacked,
                max_nesting=given.max_nesting,
            )
    except (WorkbenchError, OSError) as error:  # an OSError: a path that cannot even be asked for
        st.session_state[state.REFUSED] = _refused(given, error, mapped=mapping is not None)
    else:
        _show_added(entry)
    st.rerun()


def _show_added(entry: LogEntry) -> None:
    st.session_state.pop(state.REFUSED, None)
    st.session_state[state.ADDED] = st.session_state.get(state.ADDED, 0) + 1
    frame.show_added(entry)
    state.tell("success", f"{entry.name} is imported and shown here.")


def _refused(given: Given, error: Exception, *, mapped: bool) -> Refused:
    problems = error.problems if isinstance(error, LogError) else ()
    texts = [str(problem) for problem in problems] or [str(error)]
    proposal = _proposal(given)
    about = {problem.column for problem in problems}
    naming = mapped or about & {"columns", "format"} or any(map(known, about))
    if proposal and proposal.form == "chat" and not mapped:
        naming = "messages" not in proposal.names or about & set(asked_in("chat")) - {"messages"}
    return Refused(
        given=given,
        problems=tuple(of_error(named_shortly(text, given.paths)) for text in texts),
        proposal=proposal if naming else None,
        partly=bool(about) and not about & {"columns", "format", "files", "group_id"},
    )


def _proposal(given: Given) -> Proposal | None:
    """A mapping to start from; None where no file takes one."""
    try:
        return proposal_of(given.paths, given.format)
    except (WorkbenchError, OSError):
        return None  # what is wrong with the files is shown already


def _show_problems(refused: Refused) -> None:
    count = len(refused.problems)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.error(f"Not imported: {number_of(count, 'problem')}.")
        st.button(
            "Discard",
            key=state.DISCARD,
            on_click=lambda: st.session_state.pop(state.REFUSED, None),
        )
    show("\n".join(refused.problems))
    if refused.partly:
        st.caption(
            "To import the rest, tick “Leave out unreadable lines” for what cannot be read, or "
            "“Set broken trajectories aside” for what breaks a rule, and import again."
        )


def _mapping_form(given: Given, proposal: Proposal) -> None:
    """One picker a column of the step log, filled with what is likely meant."""
    needed = needed_in(proposal.form)
    columns = sorted(asked_in(proposal.form), key=lambda column: column not in needed)
    st.markdown("**Which column is each name of the file?**")
    st.caption(
        "What is left open here is looked for under the usual names."
        if proposal.form == "chat"
        else f"{', '.join(f'`{name}`' for name in needed)} are needed; the others are not."
    )
    chosen = {}
    for start in range(0, len(columns), 3):
        for column, place in zip(columns[start : start + 3], st.columns(3), strict=False):
            name = _picker(given, proposal, column, place)
            if name:
                chosen[column] = name
    mapping = {"columns": chosen}
    _preview(proposal, chosen)
    left, right, _ = st.columns([2, 2, 3], vertical_alignment="center")
    if left.button("Import with this mapping", type="primary", key=state.IMPORT_MAPPED):
        _add(given, mapping, proposal.format)
    with right.popover("Mapping as a file", icon=":material/data_object:"):
        st.caption("Save this as `mapping.json`; `--map mapping.json` reads it.")
        st.code(json.dumps(mapping, indent=2, ensure_ascii=False), language="json")


def _preview(proposal: Proposal, chosen: Mapping[str, str]) -> None:
    """The first records as the step log would have them."""
    samples = {
        column: proposal.samples[name]
        for column, name in chosen.items()
        if name in proposal.samples
    }
    count = max(map(len, samples.values()), default=0)
    if not count:
        return
    st.caption(f"The first {number_of(count, 'record')} of the file under these names:")
    st.dataframe(
        pl.DataFrame(
            {
                column: pl.Series([_cell(value) for value in given], dtype=pl.String)
                for column, given in samples.items()
            }
        ),
        hide_index=True,
        placeholder="–",
        alt="The first records of the file with the columns of the step log.",
    )


def _cell(value: Any) -> str | None:
    """A value on one line; of a conversation, how long it is and how it begins."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        first = " ".join(str(part) for part in value[0].values())
        return shortened(f"{number_of(len(value), 'message')}: {first}", 120)
    return None if value is None else shortened(str(value), 120)


def _picker(given: Given, proposal: Proposal, column: str, place: Any) -> str:
    entry = known(column)
    options = ["", *proposal.names]
    chosen: str = place.selectbox(
        f"`{column}`",
        options,
        index=options.index(proposal.columns.get(column, "")),
        format_func=lambda name: name or "–",
        help=entry.meaning if entry else None,
        key=state.MAPPING.format(files=digest(list(given.paths))[:8], column=column),
    )
    return chosen
