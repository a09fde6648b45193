"""The steps that the filter of the view leaves, and the order of their list."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from workbench.errors import FilterError, WorkbenchError
from workbench.ui import cache, frame, state

if TYPE_CHECKING:
    from workbench.analysis.filters import Filter
    from workbench.log.steps import Index, Real, Truth


@dataclass(frozen=True)
class Kept:
    """The steps that a filter leaves.

    Args:
        mask: Whether each row of the log is among them. (L,) bool
    """

    mask: Truth

    @property
    def count(self) -> int:
        """Number of steps."""
        return int(self.mask.sum())

    @property
    def of(self) -> int:
        """L, the steps of the log."""
        return len(self.mask)


def kept() -> Kept:
    """The steps that the view's filter leaves; all where there is none.

    Raises:
        FilterError: It cannot be read, or asks for something that this log does not have.
    """
    from workbench.analysis.filters import parse

    here, view = frame.entry(), state.current()
    log = cache.stored(here.id, here).frame
    found = parse(view.filter, log)
    needed = {name: view.params(name) for name in (*found.methods, *found.unstable)}
    version = frame.marks().version if found.marked else ""
    key = json.dumps([here.id, view.embedder, view.filter, needed, version], sort_keys=True)
    made: Kept = cache.kept(key, lambda: Kept(_mask(found, log)))
    return made


def usable() -> Kept | None:
    """The steps that the filter leaves; None where there is no filter, or one that is wrong."""
    if not state.current().filter:
        return None
    try:
        return kept()
    except FilterError:
        return None  # the bar says what is wrong with it


def show(filter: str) -> None:
    """List the steps that a filter leaves, on the page of steps; end the run."""
    state.update(filter=filter, sort="")
    frame.go_to("steps")


def rows() -> Index:
    """Rows of the log that the filter leaves, in the order that the view asks for. (K,)."""
    here, view = frame.entry(), state.current()
    found = usable()
    height = cache.stored(here.id, here).frame.height
    left = np.arange(height) if found is None else np.flatnonzero(found.mask)
    if not view.sort:
        return left
    values = sorting(view.sort.removeprefix("-"))[left]
    order = np.argsort(-values if view.sort.startswith("-") else values, kind="stable")
    known = ~np.isnan(values[order])
    ordered: Index = left[np.concatenate([order[known], order[~known]])]
    return ordered


def sorting(column: str) -> Real:
    """Values that the list of steps is sorted by, NaN where a step has none. (L,) float64.

    Args:
        column: depth, length, reward, return, disputed (by how far the methods of the view are
            apart where their signs differ), or a method, in |…| for its size.

    Raises:
        FilterError: It is none of these.
    """
    from workbench.analysis.disputes import disputed
    from workbench.analysis.filters import parse

    here = frame.entry()
    log = cache.stored(here.id, here).frame
    of_step = {"depth": "step_index", "reward": "reward"}
    if column in of_step:
        return log[of_step[column]].cast(pl.Float64).fill_null(np.nan).to_numpy()
    if column == "disputed":
        return disputed(np.stack([advantage(name) for name in state.current().methods]))
    if column in {"length", "return"}:
        found = cache.step_facts(here.id, here)[column]
        return found.cast(pl.Float64).fill_null(np.nan).to_numpy()
    name = column.strip("|")
    parse(f"{name}>0", log)  # a method that does not exist is named, with what may be meant
    values = advantage(name)
    return np.abs(values) if column.startswith("|") else values


def advantage(method: str) -> Real:
    """The advantage of every step of the log under a method, NaN where none scores it. (L,).

    Raises:
        FilterError: The method cannot score this log.
    """
    here = frame.entry()
    try:
        if cache.needs_vectors(method):
            frame.require_vectors()
        credit = frame.credit(method)
    except WorkbenchError as error:
        raise FilterError([f"{method} cannot score this log: {error}"]) from error
    whole = np.full(cache.stored(here.id, here).frame.height, np.nan)
    whole[credit.steps.row] = credit.advantage
    return whole


def _mask(found: Filter, log: pl.DataFrame) -> Truth:
    here = frame.entry()
    given = dict(cache.step_facts(here.id, here))
    given |= {f"A {name}": _series(advantage(name)) for name in found.methods}
    given |= {f"unstable {name}": _unstable(name, log) for name in found.unstable}
    for name in found.maps:
        given |= _on_map(name, log)
    if found.marked:
        given |= {name: frame.marked()[name] for name in ("mark", "note")}
    return found.rows(log, given).to_numpy()


def _on_map(name: str, log: pl.DataFrame) -> dict[str, pl.Series]:
    """The places of the steps on a map that a region was drawn on."""
    from workbench.analysis.filters import map_columns

    here, view = frame.entry(), state.current()
    embedder, _, kind = name.rpartition("/")
    if embedder != view.embedder:
        raise FilterError(
            [
                f"the region was drawn on the map of {embedder}, and states are compared by "
                f"{view.embedder} now: choose {embedder} as State similarity, or draw it again"
            ]
        )
    try:
        places = cache.places(here.id, embedder, kind, here)
    except WorkbenchError as error:
        raise FilterError([str(error)]) from error
    return map_columns(name, log, cache.steps(here.id, here).row, places)


def _series(values: Real) -> pl.Series:
    return pl.Series(values, nan_to_null=True)


def _unstable(method: str, log: pl.DataFrame) -> pl.Series:
    """Mask of steps whose sign often changes when their group is resampled."""
    from workbench.workspace.chosen import unstable

    here, view = frame.entry(), state.current()
    advantage(method)
    audit = cache.audited(here.id, view.embedder, {method: view.params(method)}, here)
    return unstable(log, audit.intervals, method)
