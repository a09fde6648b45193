"""ATIF documents: a trajectory, its continuations and its sub-agents, in one file or several."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import Record, json_object, objects


@dataclass(frozen=True, kw_only=True)
class Document:
    """One ATIF document: who acted, its steps, and where it stands.

    Args:
        agent_id: Path of agents from the main one down, such as `main/search-1`.
        parent: Node that called it; None for the main agent.
        steps: Its own and its continuations' steps, copied context left out.
        place: The file, and the document in it.
    """

    agent_id: str
    parent: str | None
    steps: Sequence[Record]
    model: str | None
    place: str


def documents_of(path: Path, record: Record, diagnostics: Diagnostics) -> Iterator[Document]:
    """The main agent's document and those of its sub-agents, depth first."""
    above = (path.resolve(),)
    yield from _walk(path, record, diagnostics, agent_id="main", parent=None, above=above)


def _walk(
    path: Path,
    record: Record,
    diagnostics: Diagnostics,
    *,
    agent_id: str,
    parent: str | None,
    above: tuple[object, ...],
) -> Iterator[Document]:
    """A document and all below it; `above` are the files and embedded ids on the way here."""
    steps = list(_own_steps(path, record, diagnostics))
    agent = record.get("agent")
    model = agent.get("model_name") if isinstance(agent, dict) else None
    place = str(path) if agent_id == "main" else f"{path} agent {agent_id}"
    yield Document(agent_id=agent_id, parent=parent, steps=steps, model=model, place=place)
    embedded = {
        item.get("trajectory_id"): item for item in objects(record.get("subagent_trajectories"))
    }
    called: set[object] = set()
    number_of_act = -1
    for step in steps:
        number_of_act += is_act(step)
        for reference in _references(step):
            inner, key, file = _resolved(path, reference, embedded, diagnostics)
            if inner is None or key in called:
                continue
            if key in above:
                rule = "sub-agents refer to each other in a circle"
                diagnostics.problem("subagent_trajectory_ref", rule, f"{place} ({key})")
                continue
            called.add(key)
            name = inner.get("trajectory_id") or inner.get("session_id") or Path(str(key)).stem
            node = f"{agent_id}:{max(number_of_act, 0)}"
            child = f"{agent_id}/{name}"
            yield from _walk(
                file, inner, diagnostics, agent_id=child, parent=node, above=(*above, key)
            )
    for name in sorted(str(name) for name in set(embedded) - called):
        diagnostics.notice(
            f"no step refers to the embedded sub-agent {name!r}; it is left out", place
        )


def _resolved(
    path: Path, reference: Record, embedded: Mapping[Any, Record], diagnostics: Diagnostics
) -> tuple[Record | None, object, Path]:
    """A sub-agent's document, what it is known by, and its file."""
    own = reference.get("trajectory_id")
    if own in embedded:
        return embedded[own], own, path
    named = reference.get("trajectory_path")
    file = _beside(path.parent, named) if isinstance(named, str) else None
    if file is not None:
        return json_object(file, diagnostics), file.resolve(), file
    shown = own or named
    diagnostics.notice(f"the sub-agent {shown!r} is neither in the file nor next to it", str(path))
    return None, own, path


def _own_steps(path: Path, record: Record, diagnostics: Diagnostics) -> Iterator[Record]:
    """The steps of a document and of its continuations, without what was copied from before."""
    seen: set[Path] = set()
    while True:
        if path.resolve() in seen:
            rule = "continuations refer to each other in a circle"
            diagnostics.problem("continued_trajectory_ref", rule, str(path))
            return
        seen.add(path.resolve())
        steps = record.get("steps")
        if not isinstance(steps, list):
            diagnostics.problem("steps", "is missing or no list", str(path))
            return
        for step in objects(steps):
            if not step.get("is_copied_context"):
                yield {**step, "__file": str(path)}
        named = record.get("continued_trajectory_ref")
        if not isinstance(named, str):
            return
        file = _beside(path.parent, named)
        if file is None:
            diagnostics.notice(f"the continuation {named!r} does not lie next to it", str(path))
            return
        following = json_object(file, diagnostics)
        if following is None:
            return
        path, record = file, following


def is_act(step: Record) -> bool:
    """True if a model wrote the step."""
    return step.get("source") == "agent" and step.get("llm_call_count") != 0


def is_part_of_another(path: Path, diagnostics: Diagnostics) -> bool:
    """True if another file refers to this one, and so reads it.

    Files that refer to each other in a circle, without one that begins, are a problem.
    """
    above = {path.resolve()}
    waiting = [path.resolve()]
    is_read = False
    while waiting:
        referring = _referring(waiting.pop())
        is_read |= not referring and len(above) > 1
        waiting += referring - above
        above |= referring
    if len(above) > 1 and not is_read:
        rule = "refer to each other in a circle, and none of them begins"
        diagnostics.problem("trajectories", rule, str(path))
    return len(above) > 1


def _referring(path: Path) -> frozenset[Path]:
    """The files next to and above that refer to a file, itself not counted."""
    found: set[Path] = set()
    for folder in (path.parent, path.parent.parent):
        files = [(other, other.stat().st_mtime_ns) for other in sorted(folder.glob("*.json"))]
        found |= _references_in(folder, tuple(files)).get(path, frozenset())
    return frozenset(found)


@functools.lru_cache(maxsize=2)
def _references_in(
    folder: Path, files: tuple[tuple[Path, int], ...]
) -> Mapping[Path, frozenset[Path]]:
    """File -> the files of a folder that refer to it."""
    found: dict[Path, set[Path]] = {}
    for file, _ in files:
        record = json_object(file, Diagnostics()) or {}
        for named in filter(None, (_beside(folder, name) for name in _file_references(record))):
            if named.resolve() != file.resolve():
                found.setdefault(named.resolve(), set()).add(file.resolve())
    return {file: frozenset(others) for file, others in found.items()}


def _beside(folder: Path, name: str) -> Path | None:
    """The file of a reference: at that place, or of that name in the folder."""
    found = (folder / name, folder / Path(name).name)
    return next((file for file in found if file.is_file()), None)


def _file_references(record: Record) -> Iterator[str]:
    steps = objects(record.get("steps"))
    paths = [item.get("trajectory_path") for step in steps for item in _references(step)]
    for name in (record.get("continued_trajectory_ref"), *paths):
        if isinstance(name, str):
            yield name


def _references(step: Record) -> list[Record]:
    """The sub-agents that a step called."""
    observation = step.get("observation")
    results = observation.get("results") if isinstance(observation, dict) else None
    return [
        reference
        for result in objects(results)
        for reference in objects(result.get("subagent_trajectory_ref"))
    ]
