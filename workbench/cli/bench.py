"""Commands that measure methods on simulated worlds: bench fidelity, training, tuning."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.bench_output import (
    fidelity_figures,
    print_regrets,
    print_skipped,
    print_tables,
    print_training,
    write_figures,
)
from workbench.cli.inputs import state_text
from workbench.cli.options import AsJson, LastActions, Template, as_json_text
from workbench.cli.root import app
from workbench.cli.values import field_values

if TYPE_CHECKING:
    pass

bench = typer.Typer(
    help="Measure methods on simulated worlds: how true their credit is, how well it trains.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")

QUICK_SEEDS = 5
QUICK_ITERATIONS = 10

Methods = Annotated[
    list[str] | None,
    typer.Option(
        "-m",
        "--methods",
        metavar="'METHOD[:DIALECT] [FIELD=VALUE …]'",
        help="A method with its fields; repeat for several.",
    ),
]
Families = Annotated[
    list[str] | None, typer.Option("--families", help="A world; repeat. [default: all]")
]
Conditions = Annotated[
    list[str] | None,
    typer.Option("--conditions", help="Such as base or slips=0.2; repeat. [default: all]"),
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Number of seeds. [default: 20]")]
Quick = Annotated[
    bool, typer.Option("--quick", help="Base conditions and 5 seeds, unless set otherwise.")
]
Reference = Annotated[
    str | None, typer.Option(help="Method of the paired differences. [default: grpo]")
]
EmbedderName = Annotated[
    str, typer.Option("--embedder", help="tfidf, or a sentence-transformers id or path.")
]
TrainedConditions = Annotated[
    list[str] | None,
    typer.Option(
        "--conditions",
        help="Such as base; repeat. [default: base, paraphrase=0, paraphrase=1]",
    ),
]
FirstSeed = Annotated[int, typer.Option(min=0, help="The first seed.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes. [default: one per core]")]


@bench.command()
def fidelity(
    directory: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="Folder of results, which are found again there."),
    ] = Path("fidelity"),
    methods: Methods = None,
    families: Families = None,
    conditions: Conditions = None,
    seeds: Seeds = None,
    quick: Quick = False,
    reference: Reference = None,
    embedder: EmbedderName = "tfidf",
    by_condition: Annotated[
        str | None,
        typer.Option("--by-condition", metavar="MEASURE", help="Also print it by condition."),
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Measure credit against exact advantages: ranks, signs, gradients, with intervals.

    All methods unless some are named. Results that DIR already holds are kept. Writes
    results.parquet, summary.parquet, manifest.json and two figures per world.
    """
    from workbench.bench import fidelity as measure
    from workbench.cli.progress import progress

    with progress() as told:
        found = measure(
            directory,
            methods=_methods(methods),
            families=families,
            **_extent(conditions, seeds, quick),
            embedder=embedder,
            reference=reference,
            workers=workers,
            progress=told,
        )
    figures = write_figures(fidelity_figures(found), directory)
    print_skipped(found.skipped)
    if as_json:
        print(as_json_text({"reference": found.reference, "rows": found.summary.to_dicts()}))
        return
    print_tables(found, by_condition)
    print(f"wrote {', '.join(str(path) for path in [directory / 'results.parquet', *figures])}")


@bench.command()
def tuning(
    directory: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="Folder of results; may be that of fidelity."),
    ] = Path("fidelity"),
    methods: Methods = None,
    families: Families = None,
    conditions: Conditions = None,
    seeds: Seeds = None,
    quick: Quick = False,
    embedder: EmbedderName = "tfidf",
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Measure the benefit of `workbench tune`: its choice against every fixed value.

    Methods are proxmo, soft-crbc and crbc unless others are named. Results that DIR already holds
    are kept. Writes tuning-results.parquet, tuning.parquet and tuning-manifest.json.
    """
    from workbench.bench import tuning as measure
    from workbench.cli.progress import progress

    with progress() as told:
        found = measure(
            directory,
            methods=_methods(methods),
            families=families,
            **_extent(conditions, seeds, quick),
            embedder=embedder,
            workers=workers,
            progress=told,
        )
    if as_json:
        print(as_json_text(found.table.to_dicts()))
        return
    print_regrets(found)
    print(f"wrote {directory / 'tuning.parquet'}")


def _extent(conditions: list[str] | None, seeds: int | None, quick: bool) -> dict[str, Any]:
    """Conditions and number of seeds."""
    from workbench.bench.conditions import BASE, SEEDS

    return {
        "names": conditions or ([BASE] if quick else None),
        "seeds": seeds or (QUICK_SEEDS if quick else SEEDS),
    }


@bench.command()
def gradients(
    directory: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="Folder of results, which are found again there."),
    ] = Path("gradients"),
    methods: Methods = None,
    families: Annotated[
        list[str] | None,
        typer.Option("--families", help="A world; repeat. [default: the three that train]"),
    ] = None,
    conditions: TrainedConditions = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds.")] = 2,
    first_seed: FirstSeed = 0,
    embedder: EmbedderName = "tfidf",
    training: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Results of bench training, to be predicted."),
    ] = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Measure the gradients of a policy in training under each credit: bias, noise, what counts.

    The policy is measured before, in the middle and late in a training. With --training it reports
    how well the measure orders methods as that training did. Writes results.parquet.
    """
    import polars as pl

    from workbench.bench import gradients as measure
    from workbench.bench import prediction, scores
    from workbench.bench.files import RESULTS_FILE
    from workbench.bench.tables import gradient_rows, prediction_rows
    from workbench.cli.progress import progress
    from workbench.cli.tables import table

    with progress() as told:
        found = measure(
            directory,
            methods=_methods(methods),
            families=families,
            names=conditions,
            seeds=seeds,
            first_seed=first_seed,
            embedder=embedder,
            workers=workers,
            progress=told,
        )
    predicted = None
    if training is not None:
        trained = pl.read_parquet(training / RESULTS_FILE, glob=False)
        predicted = prediction(scores(found), trained)
    if as_json:
        said = None if predicted is None else predicted.to_dicts()
        print(as_json_text({"rows": found.drop("key").to_dicts(), "prediction": said}))
        return
    for (family,), part in found.group_by(["family"], maintain_order=True):
        print(f"{family}: over conditions and seeds; at the points start, middle, late")
        print(table(gradient_rows(part)), end="\n\n")
    if predicted is not None:
        print("rank correlation of the Adam cosine with the area under the curve, over methods")
        print(table(prediction_rows(predicted)), end="\n\n")
    print(f"wrote {directory / RESULTS_FILE}")


@bench.command()
def training(
    directory: Annotated[
        Path,
        typer.Option("-o", metavar="DIR", help="Folder of results, which are found again there."),
    ] = Path("training"),
    policy: Annotated[
        str,
        typer.Option(
            help="linear; transformer (slow; base alone, 3 seeds); smollm2 (a language model, for "
            "a GPU; base alone, 1 seed), or smollm2-smoke (to see that it works)."
        ),
    ] = "linear",
    methods: Methods = None,
    families: Annotated[
        list[str] | None,
        typer.Option(
            "--families",
            help="A world, with dials such as 'helpdesk issues=1'; repeat. [default: household]",
        ),
    ] = None,
    conditions: TrainedConditions = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of seeds. [default: 10; 3 for transformer, 1 for smollm2]"
        ),
    ] = None,
    first_seed: FirstSeed = 0,
    batches: Annotated[
        int | None,
        typer.Option(min=1, help="Batches of each run. [default: those of the policy's recipe]"),
    ] = None,
    rate: Annotated[
        float | None, typer.Option(help="Adam's rate. [default: that of the policy's recipe]")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="The base condition, 5 seeds and 10 batches per run."),
    ] = False,
    reference: Reference = None,
    embedder: EmbedderName = "tfidf",
    state: Template = None,
    last_actions: LastActions = 0,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Train a small text policy on the credit of each method: learning curves, with intervals.

    All methods have the same start, tasks, number of episodes and rates, and return-to-go, which
    reads no text, is always among them; -m oracle-advantage and oracle-value train on the truth.
    The first batch of a run is checked against its export. Runs that DIR already holds are kept.
    Writes results.parquet, summary.parquet, curves.parquet, manifest.json and a figure per world.
    """
    from workbench.bench import training as train
    from workbench.bench.conditions import BASE
    from workbench.cli.progress import progress
    from workbench.plots.training import learning_curves

    with progress() as told:
        found = train(
            directory,
            policy=policy,
            methods=_methods(methods),
            families=families,
            names=conditions or ([BASE] if quick else None),
            seeds=seeds or (QUICK_SEEDS if quick else None),
            first_seed=first_seed,
            rate=rate,
            iterations=batches or (QUICK_ITERATIONS if quick else None),
            embedder=embedder,
            state_text=state_text(state, last_actions),
            reference=reference,
            workers=workers,
            command=shlex.join(["workbench", *sys.argv[1:]]),
            progress=told,
        )
    figures = {
        f"{family}-curves": learning_curves(rows)
        for (family,), rows in found.curves.group_by("family", maintain_order=True)
    }
    written = write_figures(figures, directory)
    print_skipped(found.skipped)
    if as_json:
        rows = found.summary.to_dicts()
        print(as_json_text({"references": list(found.references), "rows": rows}))
        return
    print_training(found)
    print(f"wrote {', '.join(str(path) for path in [directory / 'results.parquet', *written])}")


def _methods(specs: Sequence[str] | None) -> dict[str, Any] | None:
    """The methods of specs such as "proxmo peers=other_steps", by spec; None for all.

    An oracle is known by its name alone and has no method.
    """
    from workbench.bench.oracles import ORACLES
    from workbench.methods import create, registered

    if not specs:
        return None
    parts = {spec: spec.split() or [spec] for spec in specs}
    return {
        spec: None if spec in ORACLES else create(registered(name), field_values(pairs))
        for spec, (name, *pairs) in parts.items()
    }
