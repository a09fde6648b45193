"""The training benchmark: does a policy that learns from a method's credit learn better?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from workbench.bench.arguments import reference_among, require_positive
from workbench.bench.conditions import BASE, WORLDS_VERSION, conditions, dials_of, trainable
from workbench.bench.files import (
    MANIFEST_FILE,
    RESULTS_FILE,
    SHARDS,
    SUMMARY_FILE,
    write_manifest,
    write_table,
)
from workbench.bench.recipes import RECIPES, SMOLLM2, core_hours
from workbench.bench.runs import LAST, OBSERVATION, SCHEMA, TRAINING_VERSION, Run
from workbench.bench.shards import lacking, measure
from workbench.bench.summary import mean_of, summarise
from workbench.errors import MissingInputError, ParameterError, UnknownNameError
from workbench.files import package_version
from workbench.methods import Method, create
from workbench.states.embedders.registry import resolve
from workbench.states.text import StateText
from workbench.wording import Progress, number_of, silent

CURVES_FILE = "curves.parquet"
CONTROL = "return-to-go"
"""The credit that reads no text; it is trained with in every table."""

METHODS: Mapping[str, Sequence[str]] = {
    "linear": ("grpo", "gigpo", "proxmo", "graphgpo", "rtmc", "soft-crbc", CONTROL),
    "transformer": ("grpo", "proxmo", "soft-crbc", CONTROL),
    "smollm2": ("grpo", "gigpo", "proxmo", "history-gae", CONTROL),
    "smollm2-smoke": ("grpo", CONTROL),
}
SEEDS: Mapping[str, int] = {"linear": 10, "transformer": 3, "smollm2": 1, "smollm2-smoke": 1}
CONDITIONS: Mapping[str, Sequence[str]] = {
    "linear": (BASE, "paraphrase=0", "paraphrase=1"),
    "transformer": (BASE,),
    "smollm2": (BASE,),
    "smollm2-smoke": (BASE,),
}
FAMILIES = ("household",)
MEASURES = ("start", "area", "final")

PATIENCE = 1.0
"""Hours on one core above which a language model is trained on a GPU or not at all."""

LEAST_SEEDS = 5
"""With fewer no difference is resolved: four runs that agree in sign do so by chance once in 8."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """Results of `training`.

    Args:
        results: One row per condition, seed and method, in the columns of `runs.SCHEMA`.
        summary: `MEASURES` with intervals, in the columns of `summary.SCHEMA` and `reference`.
        curves: The same of the success at each evaluation, with `samples`.
        references: The methods of the paired differences: as asked for, and the control.
        skipped: Method -> why it could not be trained with.
    """

    results: pl.DataFrame
    summary: pl.DataFrame
    curves: pl.DataFrame
    references: Sequence[str]
    skipped: Mapping[str, str]


def training(
    directory: str | Path,
    *,
    policy: str = "linear",
    methods: Mapping[str, Method | None] | None = None,
    families: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    seeds: int | None = None,
    first_seed: int = 0,
    iterations: int | None = None,
    rate: float | None = None,
    embedder: str = "tfidf",
    state_text: StateText | None = None,
    reference: str | None = None,
    workers: int | None = None,
    command: str | None = None,
    progress: Progress = silent,
) -> Training:
    """Train a small text policy with the credit of each method, and compare what became of it.

    Every run of a seed begins with the same policy, which has imitated the world's own, sees the
    same tasks and as many episodes. A batch is validated and scored as a step log, and the policy
    takes one Adam step on its credit, so that the scale of a credit decides nothing. The first
    batch of every run also goes the way of any log, written, read, scored, exported and read back,
    and must teach the same. The policy is evaluated on tasks that it never learns from.

        area   mean of the success over the course of the training (trapezoids)
        final  mean success of the last three evaluations, that of the start left out

    What is in the directory already is used again, run by run. The same arguments give the same
    bytes in the tables, whatever was there.

    Args:
        directory: Where shards, results and summaries are kept.
        policy: A key of `recipes.RECIPES`.
        methods: Name in the tables -> method, or None for an oracle of that name (`ORACLES`: its
            values are of the policy in training, by playing on from each step, five to twenty times
            slower); by default those of `METHODS`. The control return-to-go is added where it is
            not among them.
        families: Worlds, with dials or without, as for `conditions`; the household by default.
        names: Conditions, such as "base"; by default those of `CONDITIONS`.
        seeds: How many; by default as in `SEEDS`.
        first_seed: The first of them.
        iterations: Batches of each run; by default those of the recipe.
        rate: Adam's rate; by default that of the recipe.
        embedder: Representation for methods that need similarities.
        state_text: What such methods compare; the observation by default.
        reference: Method of the paired differences; by default `grpo`, or the first.
        workers: Processes, as many as there are cores by default, 1 for a language model. They
            start afresh, so that a script which calls this has to guard its main part, or pass 1.
        command: What was typed, for the manifest.
        progress: Told about progress.

    Raises:
        UnknownNameError: No such policy, world, condition, or reference.
        ParameterError: A number is out of range, a list is empty, a world cannot be learned by
            such a policy, or a language model would take hours for want of a GPU.
        MissingDependencyError: The language model is not installed.
        MissingInputError: A reference needs what simulated logs lack.
        ArtefactError: A file of the directory is damaged.
    """
    require_positive(seeds=seeds, iterations=iterations, workers=workers)
    if policy not in RECIPES:
        raise UnknownNameError("policy", policy, RECIPES)
    recipe = RECIPES[policy]
    if rate is not None and not 0 < rate < float("inf"):
        raise ParameterError(f"rate must be above 0, got {rate}")
    recipe = replace(
        recipe,
        iterations=recipe.iterations if iterations is None else iterations,
        rate=recipe.rate if rate is None else rate,
    )
    worlds = FAMILIES if families is None else families
    for family in worlds:
        if (variant := trainable(family)) != family:
            raise ParameterError(
                f"{family} as it is cannot be learned by a small policy: no credit lifts it from "
                f"where it starts. Hint: {variant!r} can"
            )
    if methods is None:
        methods = {name: create(name) for name in METHODS[policy]}
    if not methods:
        raise ParameterError("no methods are given")
    chosen: dict[str, Method | None] = dict(methods)
    if CONTROL not in chosen:
        chosen[CONTROL] = create(CONTROL)
    references = [reference_among(chosen, reference)]
    if CONTROL not in references:
        references.append(CONTROL)
    runs = [
        Run(
            condition=condition,
            seed=seed,
            methods={name: made},
            embedder=embedder,
            recipe=recipe,
            state_text=state_text or OBSERVATION,
        )
        # Seeds in turn: a run that is cut short has some seeds of every condition.
        for seed in range(first_seed, first_seed + (seeds or SEEDS[policy]))
        for condition in conditions(worlds, CONDITIONS[policy] if names is None else names)
        for name, made in chosen.items()
    ]
    of_language = recipe.policy == SMOLLM2
    if of_language:
        _require_accelerator(runs)
    folder = Path(directory)
    results = measure(
        runs,
        folder / SHARDS,
        schema=SCHEMA,
        workers=workers or (1 if of_language else None),
        progress=progress,
    )
    write_table(results, folder / RESULTS_FILE)
    skipped = lacking(results)
    for name in references:
        if name in skipped:
            raise MissingInputError(f"the reference cannot be trained with: {skipped[name]}")
    progress("summarise", 0, 0)
    trained = results.filter(pl.col("missing").is_null())
    summary, curves = summaries(trained, references), learning_curves(trained, references[0])
    write_table(summary, folder / SUMMARY_FILE)
    write_table(curves, folder / CURVES_FILE)
    write_manifest(_content(runs, chosen, references, command), folder / MANIFEST_FILE)
    return Training(
        results=results,
        summary=summary,
        curves=curves,
        references=references,
        skipped=skipped,
    )


def _require_accelerator(runs: Sequence[Run]) -> None:
    """Refuse hours of language model on a CPU.

    Raises:
        ParameterError: There is no GPU, and the runs together would take longer than `PATIENCE`.
    """
    import torch

    hours = sum(
        core_hours(run.recipe, horizon=run.condition.world.horizon, group=run.condition.group)
        for run in runs
    )
    if hours > PATIENCE and not torch.cuda.is_available():
        raise ParameterError(
            f"torch sees no GPU, and on one core these {number_of(len(runs), 'run')} of a language "
            f"model take up to {hours:.0f} hours. Hint: --policy {SMOLLM2}-smoke shows in minutes "
            "that all works"
        )


def summaries(results: pl.DataFrame, references: Sequence[str]) -> pl.DataFrame:
    """`MEASURES` over the seeds, with paired differences to each reference."""
    measures = {name: mean_of(name) for name in MEASURES}
    return pl.concat(
        [
            _cautious(summarise(results, name, measures)).with_columns(reference=pl.lit(name))
            for name in references
        ]
    )


def learning_curves(results: pl.DataFrame, reference: str) -> pl.DataFrame:
    """The success at each evaluation over the seeds of each condition.

    Args:
        results: Of one recipe, so that all runs were evaluated alike.
        reference: Method of the paired differences.
    """
    places = range(len(results["success"][0]))
    points = results.with_columns(
        pl.col("success").list.get(place).alias(str(place)) for place in places
    )
    measures = {str(place): mean_of(str(place)) for place in places}
    rows = _cautious(summarise(points, reference, measures))
    # Groups of another size are as many episodes more or fewer at each evaluation.
    samples = results.select("family", "condition", "samples").unique(["family", "condition"])
    return (
        rows.filter(pl.col("condition").is_not_null())
        .join(samples, on=["family", "condition"], maintain_order="left")
        .with_columns(pl.col("samples").list.get(pl.col("measure").cast(pl.Int64)))
        .drop("measure")
    )


def _cautious(summary: pl.DataFrame) -> pl.DataFrame:
    """A summary in which too few seeds resolve nothing."""
    few = pl.col("verdict").is_not_null() & (pl.col("seeds") < LEAST_SEEDS)
    return summary.with_columns(
        verdict=pl.when(few).then(pl.lit("unresolved")).otherwise("verdict")
    )


def _content(
    runs: Sequence[Run],
    chosen: Mapping[str, Method | None],
    references: Sequence[str],
    command: str | None,
) -> dict[str, Any]:
    """Contents of the tables: versions, methods with fields, conditions, the recipe."""
    return {
        "command": command,
        "versions": {
            "workbench": package_version(),
            "worlds": WORLDS_VERSION,
            "training": TRAINING_VERSION,
        },
        "methods": {name: made and dict(vars(made)) for name, made in chosen.items()},
        "conditions": dials_of(run.condition for run in runs),
        "recipe": asdict(runs[0].recipe) | {"final": f"mean of the last {LAST} evaluations"},
        "seeds": len({run.seed for run in runs}),
        "first_seed": min(run.seed for run in runs),
        "embedder": resolve(runs[0].embedder).key,
        "state_text": asdict(runs[0].state_text),
        "references": list(references),
    }
