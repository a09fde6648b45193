"""The fidelity benchmark: credit against exact advantages, in every world and condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.bench.arguments import reference_among, require_positive
from workbench.bench.bounds import check_bounds
from workbench.bench.cells import MEASURES_VERSION, ORACLES, SCHEMA, Cell
from workbench.bench.conditions import (
    BASE,
    BATCHES,
    SEEDS,
    TASKS,
    WORLDS_VERSION,
    conditions,
    dials_of,
)
from workbench.bench.files import (
    MANIFEST_FILE,
    RESULTS_FILE,
    SHARDS,
    SUMMARY_FILE,
    write_manifest,
    write_table,
)
from workbench.bench.shards import lacking, measure
from workbench.bench.summary import summarise
from workbench.bench.tuned import Tuned
from workbench.errors import MissingInputError
from workbench.files import package_version
from workbench.methods import METHODS, Method, create
from workbench.methods.what_if import NAME as WHAT_IF
from workbench.states.embedders.registry import resolve
from workbench.wording import Progress, silent


@dataclass(frozen=True, kw_only=True)
class Fidelity:
    """Results of `fidelity`.

    Args:
        results: One row per condition, seed and method, in the columns of `cells.SCHEMA`.
        summary: Means over seeds with intervals, in the columns of `summary.SCHEMA`.
        reference: The method of the paired differences.
        skipped: Method -> why it could not be measured on these logs.
    """

    results: pl.DataFrame
    summary: pl.DataFrame
    reference: str
    skipped: Mapping[str, str]

    def along_dials(self, family: str) -> pl.DataFrame:
        """The summary of a family's conditions with `dial` and `value_of_dial` of each.

        The base stands in every dial's rows, with the value that the dial has there.
        """
        of_family = pl.col("family") == family
        cells = self.results.filter(of_family).unique("condition", maintain_order=True)
        moved = cells.filter(pl.col("dial") != BASE).select(
            "condition", "dial", value_of_dial="value"
        )
        (base,) = conditions([family], [BASE])
        dials = moved["dial"].unique(maintain_order=True)
        at_base = pl.DataFrame(
            {
                "condition": [BASE] * len(dials),
                "dial": dials,
                "value_of_dial": [base.setting(name) for name in dials],
            },
            schema=moved.schema,
        )
        places = pl.concat([moved, at_base])
        rows = self.summary.filter(of_family & pl.col("condition").is_not_null())
        return rows.join(places, on="condition", maintain_order="left")


def fidelity(
    directory: str | Path,
    *,
    methods: Mapping[str, Method] | None = None,
    families: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    seeds: int = SEEDS,
    embedder: str = "tfidf",
    reference: str | None = None,
    workers: int | None = None,
    progress: Progress = silent,
) -> Fidelity:
    """Measures methods, and the oracles with them, against exact advantages.

    What is in the directory already is used again, so an interrupted run goes on where it was and
    a new method costs its own work alone. The same arguments give the same bytes in
    `results.parquet` and `summary.parquet`, whatever was there.

    Args:
        directory: Where shards, results and summary are kept.
        methods: Name in the tables -> method; all registered ones at their defaults if None.
        families: Worlds; all by default.
        names: Conditions, such as "base"; all by default.
        seeds: How many, from 0 on.
        embedder: Representation for methods that need similarities.
        reference: Method of the paired differences; by default `grpo`, or the first.
        workers: Processes, as many as there are cores by default. They start afresh, so that a
            script which calls this has to guard its main part, or pass 1.
        progress: Told about progress.

    Raises:
        UnknownNameError: No such world, condition, or reference.
        ParameterError: A number is out of range or a list is empty.
        MissingInputError: The reference needs what simulated logs lack.
        ArtefactError: A file of the directory is damaged.
        BoundError: An oracle or a control does not score as it must.
    """
    require_positive(seeds=seeds, workers=workers)
    chosen: dict[str, Method | Tuned | None] = {
        **(
            {name: create(name) for name in METHODS if name != WHAT_IF}
            if methods is None
            else methods
        ),
        **dict.fromkeys(ORACLES),
    }
    compared = reference_among(chosen, reference)
    cells = cells_of(chosen, families, names, seeds, embedder)
    folder = Path(directory)
    results = measure(
        cells,
        folder / SHARDS,
        schema=SCHEMA,
        workers=workers,
        progress=progress,
    )
    write_table(results, folder / RESULTS_FILE)
    skipped = lacking(results)
    if compared in skipped:
        raise MissingInputError(f"the reference cannot be measured here: {skipped[compared]}")
    check_bounds(results)
    progress("summarise", 0, 0)
    summary = summarise(results.filter(pl.col("missing").is_null()), compared)
    write_table(summary, folder / SUMMARY_FILE)
    write_manifest(manifest(cells, reference=compared), folder / MANIFEST_FILE)
    return Fidelity(
        results=results,
        summary=summary,
        reference=compared,
        skipped=skipped,
    )


def cells_of(
    methods: Mapping[str, Method | Tuned | None],
    families: Sequence[str] | None,
    names: Sequence[str] | None,
    seeds: int,
    embedder: str,
) -> list[Cell]:
    """The cells of some methods in some conditions; arguments as for `fidelity`."""
    return [
        Cell(condition=condition, seed=seed, methods=methods, embedder=embedder)
        for condition in conditions(families, names)
        for seed in range(seeds)
    ]


def manifest(cells: Sequence[Cell], **more: Any) -> dict[str, Any]:
    """Contents of the tables: versions, methods with fields, conditions with dials."""
    return {
        "versions": {
            "workbench": package_version(),
            "worlds": WORLDS_VERSION,
            "measures": MEASURES_VERSION,
        },
        "methods": {name: _fields(made) for name, made in cells[0].methods.items()},
        "conditions": dials_of(cell.condition for cell in cells),
        "tasks": TASKS,
        "batches": BATCHES,
        "seeds": len({cell.seed for cell in cells}),
        "embedder": resolve(cells[0].embedder).key,
        **more,
    }


def _fields(method: Method | Tuned | None) -> dict[str, Any] | None:
    if method is None:
        return None
    return {"tuned": _fields(method.method)} if isinstance(method, Tuned) else dict(vars(method))
