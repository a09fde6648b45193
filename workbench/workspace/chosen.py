"""The choice of steps for an export: by people's marks, and by the filter of the app."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from workbench.analysis.filters import Filter, map_columns, parse, step_facts
from workbench.errors import FilterError, ParameterError
from workbench.exporters.selection import IN_FILTER
from workbench.log.credit import ScoredCredit
from workbench.states.projection import places
from workbench.states.space import Space
from workbench.workspace.marks import Marks, on_log

IDS = ["trajectory_id", "step_index"]

LUCK = 0.2
"""Share of draws of other rollouts from which on a changed sign makes a step unstable."""


def for_export(
    log: pl.DataFrame,
    credit: ScoredCredit,
    root: Path,
    options: Mapping[str, Any],
    space: Callable[[], Space],
) -> pl.DataFrame:
    """A log with the columns by which an export chooses steps, else as it is.

    Args:
        log: A validated step log.
        credit: The credit that is exported; a filter that asks for its method means it.
        root: The workspace whose marks are meant.
        options: The options of the export.
        space: The log's space, for a filter that asks for other methods: as they are by default.

    Raises:
        FilterError: The filter cannot be read.
        ParameterError: An export chooses by marks, and no step of the log has one there.
    """
    if options.get("marked", "all") != "all":
        log = _marked(log, root)
    if options.get("filter") is None:
        return log
    found = parse(str(options["filter"]), log)
    return log.with_columns(kept(found, log, credit, root, space).alias(IN_FILTER))


def kept(
    found: Filter, log: pl.DataFrame, credit: ScoredCredit, root: Path, space: Callable[[], Space]
) -> pl.Series:
    """True for each step that a filter leaves; arguments as for `for_export`. (L,) Boolean."""
    from workbench.analysis.audit import audit
    from workbench.methods.scoring import score

    credits = {credit.provenance.name: credit}
    for name in (*found.methods, *found.unstable):
        if name not in credits:
            credits[name] = score(space(), name).scored()
    given = dict(step_facts(log))
    given |= {f"A {name}": _advantage(log, credits[name]) for name in found.methods}
    for name in found.unstable:
        drawn = audit(space(), {name: credits[name]}).intervals
        given[f"unstable {name}"] = unstable(log, drawn, name)
    for name in found.maps:
        embedder, _, kind = name.rpartition("/")
        if space().embedder.name != embedder:
            raise FilterError(
                [f"the region was drawn on the map of {embedder}; here is {space().embedder.name}"]
            )
        given |= map_columns(name, log, space().steps.row, places(space(), kind))
    if found.marked:
        given |= on_log(log, Marks(root).table())[0].to_dict()
    return found.rows(log, given)


def unstable(log: pl.DataFrame, intervals: pl.DataFrame, method: str) -> pl.Series:
    """Steps whose signs change often when other rollouts are drawn for their group. (L,).

    Args:
        log: A validated step log.
        intervals: Of an audit of the method.
        method: Its name.
    """
    steps = intervals.filter(credit=method).filter(pl.col("sign_flips") >= LUCK)
    there = steps.select(*IDS, pl.lit(value=True).alias("unstable")).unique()
    joined = log.select(IDS).join(there, on=IDS, how="left", maintain_order="left")
    return joined["unstable"].fill_null(value=False)


def _advantage(log: pl.DataFrame, credit: ScoredCredit) -> pl.Series:
    table = credit.table.select(*IDS, pl.col("advantage").cast(pl.Float64))
    return log.select(IDS).join(table, on=IDS, how="left", maintain_order="left")["advantage"]


def _marked(log: pl.DataFrame, root: Path) -> pl.DataFrame:
    found, other = on_log(log, Marks(root).table())
    if found["mark"].null_count() == log.height:
        lost = f" ({other} of its marks are of steps that do something else here)" * bool(other)
        raise ParameterError(
            f"no step of this log is marked in the workspace {root}{lost}. Hint: mark steps in the "
            "app, or export with marked=all"
        )
    return log.with_columns(found["mark"])
