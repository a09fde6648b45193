"""Tables and figures of benchmarks, as `workbench bench` prints and writes them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from workbench.bench import Fidelity, Training, Tuning


def print_regrets(found: Tuning) -> None:
    """Print the table of regrets of tuned methods, with its legend."""
    from workbench.bench.tables import REGRET_LEGEND, regret_rows
    from workbench.cli.tables import table

    for (family, measure), part in found.table.group_by(["family", "measure"], maintain_order=True):
        print(f"{family}: {measure}")
        print(table(regret_rows(part)), end="\n\n")
    print(REGRET_LEGEND)


def print_tables(found: Fidelity, by_condition: str | None) -> None:
    """Print the tables of `fidelity` by family, or of one measure by condition."""
    from workbench.bench.tables import RANKS, SIZES, condition_rows, fact_rows, family_rows, legend
    from workbench.cli.tables import table
    from workbench.wording import number_of

    summary = found.summary
    print(table(fact_rows(found.results)), end="\n\n")
    for family in summary["family"].unique(maintain_order=True):
        of_family = found.results.filter(found.results["family"] == family)
        cells = of_family["condition"].n_unique(), of_family["seed"].n_unique()
        extent = f"{number_of(cells[0], 'condition')}, {number_of(cells[1], 'seed')}"
        print(f"{family}: mean over {extent} each")
        for measures in (RANKS, SIZES):
            print(table(family_rows(summary, family, measures)), end="\n\n")
        if by_condition is not None:
            print(f"{family}: {by_condition} by condition")
            print(table(condition_rows(summary, family, by_condition)), end="\n\n")
    print(legend(found.reference))


def print_training(found: Training) -> None:
    """Print the tables of `training` by family."""
    from workbench.bench.tables import legend, training_fact_rows, training_rows
    from workbench.cli.tables import table

    print(table(training_fact_rows(found.results)), end="\n\n")
    for family in found.summary["family"].unique(maintain_order=True):
        of_family = found.results.filter(found.results["family"] == family)
        names = of_family["condition"].unique(maintain_order=True).to_list()
        for condition in [*names, None] if len(names) > 1 else names:
            print(f"{family}: {condition or 'mean over conditions'}")
            rows = training_rows(found.summary, family, condition, found.references)
            print(table(rows), end="\n\n")
    print(legend(found.references[0]))


def print_skipped(skipped: Mapping[str, str]) -> None:
    """Print each method that was not measured and the reason, on standard error."""
    for method, reason in skipped.items():
        print(f"note: {method} was not measured: {reason}", file=sys.stderr)


def fidelity_figures(found: Fidelity) -> dict[str, go.Figure]:
    """Two figures a world."""
    import polars as pl

    from workbench.bench.tables import ORDER, RANKS, SIZES
    from workbench.plots.fidelity import methods, sweeps

    figures = {}
    for family in found.summary["family"].unique(maintain_order=True):
        rows = found.summary.filter(found.summary["family"] == family)
        whole = rows.filter(pl.col("condition").is_null())
        figures[f"{family}-methods"] = methods(whole, [*RANKS, *SIZES])
        along = found.along_dials(family)
        if along.height:
            figures[f"{family}-sweeps"] = sweeps(along, ORDER)
    return figures


def write_figures(figures: Mapping[str, go.Figure], directory: Path) -> list[Path]:
    """A page a figure, and the one copy of plotly.js that they share, so that none needs a net."""
    from plotly.offline import get_plotlyjs

    from workbench.files import atomic_file

    written = []
    script = directory / "plotly.min.js"
    with atomic_file(script) as temporary:
        temporary.write_text(get_plotlyjs(), encoding="utf-8")
    for name, figure in figures.items():
        path = directory / f"{name}.html"
        with atomic_file(path) as temporary:
            page = figure.to_html(include_plotlyjs=script.name, div_id=path.stem)
            temporary.write_text(page, encoding="utf-8")
        written.append(path)
    return written
