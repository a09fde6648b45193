"""Commands that measure methods where the truth is known: bench fidelity."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.options import AsJson, as_json_text, field_values
from workbench.cli.root import app

if TYPE_CHECKING:
    from workbench.bench import Fidelity

bench = typer.Typer(
    help="Measure methods on worlds whose true advantages are known.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")

QUICK_SEEDS = 5


@bench.callback()
def _benchmarks() -> None:
    """Keeps `fidelity` a sub-command while it is the only one."""


@bench.command()
def fidelity(
    directory: Annotated[
        Path, typer.Option("-o", metavar="DIR", help="Where results are kept and found again.")
    ] = Path("fidelity"),
    methods: Annotated[
        list[str] | None,
        typer.Option(
            "-m",
            "--methods",
            metavar="'METHOD[:DIALECT] [FIELD=VALUE …]'",
            help="A method with its fields; repeat for several. [default: all]",
        ),
    ] = None,
    families: Annotated[
        list[str] | None, typer.Option("--families", help="A world; repeat. [default: all]")
    ] = None,
    conditions: Annotated[
        list[str] | None,
        typer.Option("--conditions", help="Such as base or slips=0.2; repeat. [default: all]"),
    ] = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="How many. [default: 20]")] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Base conditions and 5 seeds, unless said otherwise.")
    ] = False,
    reference: Annotated[
        str | None, typer.Option(help="Method of the paired differences. [default: grpo]")
    ] = None,
    embedder: Annotated[
        str, typer.Option(help="tfidf, or a sentence-transformers id or path.")
    ] = "tfidf",
    by_condition: Annotated[
        str | None,
        typer.Option("--by-condition", metavar="MEASURE", help="Also print it by condition."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes. [default: one a core]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure credit against exact advantages: ranks, signs, gradients, with intervals.

    What DIR holds already is not measured again. Writes results.parquet, summary.parquet,
    manifest.json and two figures a world.
    """
    from workbench.bench import fidelity as measure
    from workbench.bench.conditions import BASE, SEEDS
    from workbench.terminal import progress

    with progress() as report:
        found = measure(
            directory,
            estimators=_estimators(methods),
            families=families,
            names=conditions or ([BASE] if quick else None),
            seeds=seeds or (QUICK_SEEDS if quick else SEEDS),
            embedder=embedder,
            reference=reference,
            workers=workers,
            report=report,
        )
    figures = _write_figures(found, directory)
    for method, reason in found.skipped.items():
        print(f"note: {method} was not measured: {reason}", file=sys.stderr)
    if as_json:
        print(as_json_text({"reference": found.reference, "rows": found.summary.to_dicts()}))
        return
    _print_tables(found, by_condition)
    print(f"wrote {', '.join(str(path) for path in [directory / 'results.parquet', *figures])}")


def _estimators(specs: Sequence[str] | None) -> dict[str, Any] | None:
    """The methods of specs such as "proxmo peers=other_steps", by spec; None for all."""
    from workbench.estimators import create

    if not specs:
        return None
    parts = {spec: spec.split() or [spec] for spec in specs}
    return {spec: create(name, field_values(pairs)) for spec, (name, *pairs) in parts.items()}


def _print_tables(found: Fidelity, by_condition: str | None) -> None:
    from workbench.bench.tables import (
        RANKS,
        SIZES,
        condition_rows,
        fact_rows,
        family_rows,
        legend,
    )
    from workbench.terminal import table

    summary = found.summary
    print(table(fact_rows(found.results)), end="\n\n")
    for family in summary["family"].unique(maintain_order=True):
        of_family = found.results.filter(found.results["family"] == family)
        cells = of_family["condition"].n_unique(), of_family["seed"].n_unique()
        print(f"{family}: mean over {cells[0]} conditions, {cells[1]} seeds each")
        for measures in (RANKS, SIZES):
            print(table(family_rows(summary, family, measures)), end="\n\n")
        if by_condition is not None:
            print(f"{family}: {by_condition} by condition")
            print(table(condition_rows(summary, family, by_condition)), end="\n\n")
    print(legend(found.reference))


def _write_figures(found: Fidelity, directory: Path) -> list[Path]:
    """Two pages a world and the one copy of plotly.js that they share, so that none needs a net."""
    import polars as pl
    from plotly.offline import get_plotlyjs

    from workbench.bench.tables import ORDER, RANKS, SIZES
    from workbench.plots.fidelity import methods, sweeps
    from workbench.store import atomic_file

    written = []
    script = directory / "plotly.min.js"
    with atomic_file(script) as temporary:
        temporary.write_text(get_plotlyjs(), encoding="utf-8")
    for family in found.summary["family"].unique(maintain_order=True):
        rows = found.summary.filter(found.summary["family"] == family)
        whole = rows.filter(pl.col("condition").is_null())
        figures = {"methods": methods(whole, [*RANKS, *SIZES])}
        along = found.along_dials(family)
        if along.height:
            figures["sweeps"] = sweeps(along, ORDER)
        for name, figure in figures.items():
            path = directory / f"{family}-{name}.html"
            with atomic_file(path) as temporary:
                page = figure.to_html(include_plotlyjs=script.name, div_id=path.stem)
                temporary.write_text(page, encoding="utf-8")
            written.append(path)
    return written
