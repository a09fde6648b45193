"""Scoring of a log in parts, by workers, without ever holding its texts at once.

A worker reads its part, scores it and writes its numbers; the driver holds ids, rewards and flags
of the log and puts the numbers in their places. A part whose numbers are there is not done again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.engines import Engine, results
from workbench.files import atomic_file, canonical_json, digest
from workbench.log.columns import CONTENTS
from workbench.log.credit import ScoredCredit, credit_table
from workbench.log.pooling import Moments, PieceOfBatch, merged
from workbench.log.steps import Steps
from workbench.methods import Method, create, registered
from workbench.methods.scoring import provenance, said_of, uses_vectors
from workbench.states.embedders.chunking import WindowsReport
from workbench.states.embedders.registry import Embedder, resolve
from workbench.states.embedders.vector_cache import VectorCache
from workbench.states.space import Space
from workbench.states.text import StateText
from workbench.wording import Progress, silent
from workbench.workspace.partitions import (
    BATCH_ROWS,
    ROWS,
    Part,
    Partition,
    Unit,
    partition,
    unit_of,
)
from workbench.workspace.store import read_table

READ = frozenset({"observation", "action", "next_observation", "replay_returns"})
"""Columns of texts and lists that a method may read without naming them among its needs."""

_WINDOWS = "windows"
"""Key of a file of numbers whose value is the `WindowsReport` of its part."""


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """Parameters that score one part.

    Args:
        name: Of the method, as it was asked for.
        fields: Its fields.
        output: Where its numbers go.
        pooled: Moments of the batch of which the part is a piece; None for whole units.
    """

    name: str
    fields: Mapping[str, Any]
    output: Path
    pooled: tuple[Moments, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Task:
    """A part with all that is to be scored in it.

    Args:
        part: The rows.
        scorings: The methods.
        embedder: Name of the representation for methods that need similarities.
        state_text: What text of a step stands for its state.
        cache: Where vectors are kept; None keeps none.
    """

    part: Part
    scorings: Sequence[Scoring]
    embedder: str
    state_text: StateText
    cache: Path | None

    def __str__(self) -> str:
        return str(self.part)


def score_part(task: Task) -> None:
    """Write the numbers of a part; what is there already is left."""
    missing = [scoring for scoring in task.scorings if not scoring.output.is_file()]
    if not missing:
        return
    methods = [create(registered(scoring.name), scoring.fields) for scoring in missing]
    steps = _steps(task.part, methods)
    whole = None if steps is None else _space(task, steps)
    for scoring, method in zip(missing, methods, strict=True):
        numbers, windows, space = pl.DataFrame(), None, whole
        if steps is not None and scoring.pooled is not None:
            space = _space(task, PieceOfBatch.of(steps, scoring.pooled))
        if space is not None:
            numbers = method.credit(space.steps, space).numbers()
            windows = space.embedder.windows_report if uses_vectors(method) else None
        metadata = {_WINDOWS: canonical_json(vars(windows))} if windows else {}
        with atomic_file(scoring.output) as temporary:
            numbers.write_parquet(temporary, compression="zstd", metadata=metadata)


def pieces_moments(task: Task) -> list[tuple[Moments, ...]]:
    """Moments that each method of a task asks for, of a part that is a piece of a batch."""
    methods = [create(registered(scoring.name), scoring.fields) for scoring in task.scorings]
    steps = _steps(task.part, methods)
    if steps is None:
        return []
    found = []
    for method in methods:
        piece = PieceOfBatch.of(steps, None)
        # What overflows is refused when the piece is scored.
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            method.terms(piece, _space(task, piece))
        found.append(tuple(piece.asked))
    return found


def _steps(part: Part, methods: Sequence[Method]) -> Steps | None:
    """The scored steps of a part, with what methods read of them; None where there are none."""
    needed = {name for method in methods for name in method.needs()}
    frame = part.read(without=CONTENTS - READ - needed)
    return Steps.from_log(frame) if frame["excluded"].null_count() else None


def _space(task: Task, steps: Steps) -> Space:
    return Space(
        steps,
        embedder=_embedder(task.embedder, task.cache),
        state_text=task.state_text,
        # Whether steps may be chained by guess was decided over the whole log.
        allow_unchained=True,
    )


@lru_cache(maxsize=2)
def _embedder(name: str, cache: Path | None) -> Embedder:
    """The embedder of a worker, whose model is loaded once."""
    return resolve(name, None if cache is None else VectorCache(cache))


def score_in_parts(
    path: Path,
    space: Space,
    methods: Mapping[str, Method],
    *,
    engine: Engine,
    folder: Path,
    cache: Path | None = None,
    rows: int = ROWS,
    batch_rows: int = BATCH_ROWS,
    progress: Progress = silent,
) -> dict[str, ScoredCredit]:
    """The credits of a log under some methods, scored by an engine.

    Args:
        path: The log, as Parquet, in canonical order.
        space: Of the log without its texts, see `partitions.narrow`; of an embedder with a name.
        methods: By the name that each was asked for.
        engine: What runs the parts.
        folder: Where numbers of parts lie until all are there.
        cache: Where vectors are kept; None keeps none.
        rows: Rows of a part, unless a unit that must not be divided is larger.
        batch_rows: Rows of a batch from which on it is divided, for methods that pool batches.
        progress: Told how many parts are done.

    Returns:
        By name, bit for bit what `methods.scoring.scored` gives, as far as no unit is divided; of
        a batch that is, its moments are merged from those of its pieces, which is equal to some
        1e-12 of its numbers, and the credit has a note that says so.

    Raises:
        MissingInputError: The log lacks what a method needs.
        WorkbenchError: What scoring of a part is refused for, with a note that names the part.
    """
    for method in methods.values():
        method.require(space.steps, space)
    units = {name: _divided(method, space) for name, method in methods.items()}
    tasks: list[Task] = []
    parted: dict[tuple[Unit, bool], Partition] = {}
    for unit, pools in sorted(set(units.values())):
        most = batch_rows if pools else None
        parts = partition(path, space.steps, unit, folder, rows=rows, most=most)
        here = {name: method for name, method in methods.items() if units[name] == (unit, pools)}
        new = list(_tasks(space, here, parts, folder, cache))
        for pieces in parts.pieces:
            _pool(new, pieces, engine, progress)
        parted[unit, pools] = parts
        tasks += new
    results(engine, score_part, tasks, "score", progress)
    return {
        name: _credit(space, name, method, parted[units[name]], _files(tasks, name))
        for name, method in methods.items()
    }


def _divided(method: Method, space: Space) -> tuple[Unit, bool]:
    """The unit of a method, and whether it may be divided all the same."""
    unit = unit_of(method, space)
    return unit, unit == "batch" and method.pools_batches


def _pool(tasks: list[Task], pieces: Sequence[int], engine: Engine, progress: Progress) -> None:
    """Give tasks that are pieces of one batch the moments of the whole of it, in place."""
    here = [tasks[number] for number in pieces]
    if all(scoring.output.is_file() for task in here for scoring in task.scorings):
        return
    # In the order of the pieces, whichever is done first: sums depend on it.
    asked = list(filter(None, results(engine, pieces_moments, here, "pool", progress)))
    pooled = [
        tuple(merged(moments) for moments in zip(*of_pieces, strict=True))
        for of_pieces in zip(*asked, strict=True)
    ]
    for number, task in zip(pieces, here, strict=True):
        scorings = zip(task.scorings, pooled, strict=True)
        tasks[number] = replace(
            task, scorings=[replace(scoring, pooled=moments) for scoring, moments in scorings]
        )


def _tasks(
    space: Space,
    methods: Mapping[str, Method],
    parted: Partition,
    folder: Path,
    cache: Path | None,
) -> Iterator[Task]:
    made = {name: provenance(space, name, method).to_dict() for name, method in methods.items()}
    # Merged moments round as the pieces lie, so that of other pieces nothing is taken up again.
    layout = {
        number: [parted.parts[piece].rows for piece in pieces]
        for pieces in parted.pieces
        for number in pieces
    }
    for number, part in enumerate(parted.parts):
        here = [str(part.path), part.start, part.rows, layout.get(number, [])]
        yield Task(
            part=part,
            scorings=[
                Scoring(
                    name=name,
                    fields=method.values,
                    output=folder / "scored" / f"{digest([made[name], here])[:32]}.parquet",
                )
                for name, method in methods.items()
            ],
            embedder=space.embedder.name,
            state_text=space.state_text,
            cache=cache,
        )


def _files(tasks: Sequence[Task], name: str) -> list[Path]:
    """Files of a method's numbers, in the order of its parts."""
    return [one.output for task in tasks for one in task.scorings if one.name == name]


def _credit(
    space: Space, name: str, method: Method, parted: Partition, files: Sequence[Path]
) -> ScoredCredit:
    """The credit that the numbers of all parts make."""
    frames, reports = [], []
    for file, part in zip(files, parted.parts, strict=True):
        frame, metadata = read_table(file), pl.read_parquet_metadata(file)
        if frame.width:
            frames.append(frame)
        else:  # no step of the part is scored
            frames.append(
                pl.DataFrame({"advantage": pl.Series([None] * part.rows, dtype=pl.Float64)})
            )
        if _WINDOWS in metadata:
            reports.append(WindowsReport(**json.loads(metadata[_WINDOWS])))
    widest = max(frames, key=lambda frame: frame.width).columns
    numbers = parted.in_order(pl.concat(frames, how="diagonal", rechunk=True).select(widest))
    table = credit_table(space.steps.log, numbers)
    scored = numbers.filter(pl.col("advantage").is_not_null())
    notes = said_of(space, name, method, {one.name: one.to_numpy() for one in scored}, table)
    notes += _long_texts(reports) + _merged(parted)
    return ScoredCredit(table, provenance(space, name, method, notes))


def _merged(parted: Partition) -> tuple[str, ...]:
    """A sentence on batches that were divided, if any were."""
    if not parted.pieces:
        return ()
    pieces = sum(map(len, parted.pieces))
    return (
        f"batches that are too large for one worker: {len(parted.pieces):,}; their moments are "
        f"merged from those of {pieces:,} pieces, equal to those of the whole up to some 1e-12",
    )


def _long_texts(reports: Sequence[WindowsReport]) -> tuple[str, ...]:
    """A sentence on texts longer than the model's window, if there are any."""
    limits = [report.limit for report in reports if report.limit is not None]
    whole = WindowsReport(
        texts=sum(report.texts for report in reports),
        longer=sum(report.longer for report in reports),
        windows=sum(report.windows for report in reports),
        limit=limits[0] if limits else None,
    )
    if not whole.longer:
        return ()
    parts = f"; a text counts once in each of {len(reports):,} parts" if len(reports) > 1 else ""
    return (f"{whole}{parts}",)
