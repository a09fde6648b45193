"""Gradients of a policy in training under each credit, which predict how well it trains.

A measure of one batch's gradient is won by credits with little noise, whatever their bias; but a
training averages the noise of many batches and keeps the bias. So products are taken of different
batches only, in the parameters of the policy, and as far as Adam would scale them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import spearmanr

from workbench.bench.arguments import require_positive
from workbench.bench.conditions import WORLDS_VERSION, conditions
from workbench.bench.episodes import step_log
from workbench.bench.files import RESULTS_FILE, SHARDS, write_table
from workbench.bench.gradient_measures import PARTS, Measures, over_points
from workbench.bench.identity import identity
from workbench.bench.lessons import Lesson, Scorer
from workbench.bench.oracles import ORACLES
from workbench.bench.policies import LinearPolicy
from workbench.bench.recipes import RECIPES
from workbench.bench.runs import TRAINING_VERSION, Run, start
from workbench.bench.shards import measure
from workbench.bench.summary import RESAMPLES
from workbench.bench.training import CONDITIONS, CONTROL, METHODS
from workbench.errors import MissingInputError
from workbench.files import digest, package_version
from workbench.log.steps import Real
from workbench.methods import Method, create
from workbench.wording import Progress, silent

GRADIENTS_VERSION = "2"
"""Changes with any change of what is measured here."""

POINTS = (0, 15, 40)
"""Batches of return-to-go after which a policy is looked at: at the start, in the middle, late."""

BATCHES = 8
FAMILIES = ("household", "helpdesk issues=1", "codebase modules=2 bugs=1")
SEEDS = 2
TRUTH = "oracle-advantage"


SCHEMA: dict[str, Any] = {
    "family": pl.String,
    "condition": pl.String,
    "seed": pl.Int64,
    "method": pl.String,
    "missing": pl.String,
    **dict.fromkeys(PARTS, pl.List(pl.Float64)),
    "key": pl.String,
}
"""Columns of the results; each of `PARTS` has what was found at each of `POINTS`."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """The measuring of gradients in one condition under one seed.

    Args:
        run: The condition, the seed, and all that says how batches are played and scored.
        batches: Independent batches at each point.
    """

    run: Run
    methods: Mapping[str, Method | None]
    batches: int

    @property
    def keys(self) -> dict[str, str]:
        """Digest of all that decides a row, by method."""
        run = self.run
        here = {
            "versions": [WORLDS_VERSION, TRAINING_VERSION, GRADIENTS_VERSION, package_version()],
            "family": run.condition.family,
            "dials": vars(run.condition.world),
            "group": run.condition.group,
            "recipe": asdict(run.recipe),
            "seed": run.seed,
            "batches": self.batches,
            "points": POINTS,
        }
        return {
            name: digest({**here, "method": identity(name, method, run.embedder)})
            for name, method in self.methods.items()
        }

    def rows(self) -> pl.DataFrame:
        """Measures every method: one row each, in the columns of `SCHEMA`."""
        found: dict[str, list[Mapping[str, float]]] = {name: [] for name in self.methods}
        missing: dict[str, str] = {}
        second: dict[str, Real] = {}
        for point, policy in zip(POINTS, self._policies(), strict=True):
            gradients = self._gradients(policy, point, missing)
            truth = gradients[TRUTH]
            for name, course in found.items():
                if name in gradients:
                    own = gradients[name]
                    second[name] = second.get(name, 0.0) + (own**2).mean(axis=0)
                    course.append(measured(own, truth, second[name] / (len(course) + 1)))
        run, keys = self.run, self.keys
        rows = [
            {
                "family": run.condition.family,
                "condition": run.condition.name,
                "seed": run.seed,
                "method": name,
                "missing": missing.get(name),
                "key": keys[name],
                **over_points(points),
            }
            for name, points in found.items()
        ]
        return pl.DataFrame(rows, schema=SCHEMA)

    def _policies(self) -> Sequence[LinearPolicy]:
        """The policy at each point of a training with return-to-go."""
        run, control = self.run, create(CONTROL)
        begun = start(run.condition, run.recipe, run.seed)
        policy = deepcopy(begun.policy)
        assert isinstance(policy, LinearPolicy)
        policy.restart(run.recipe.rate)
        kept = []
        with tempfile.TemporaryDirectory() as folder:
            scorer = Scorer(control, run.embedder, run.state_text, Path(folder))
            for batch in range(max(POINTS) + 1):
                if batch in POINTS:
                    kept.append(deepcopy(policy))
                tasks = run.tasks_of(begun.pool, batch)
                episodes = run.sampled(tasks, policy, [run.seed, 1, batch])
                _, advantage = scorer(step_log(episodes, run="r", version=batch))
                Lesson.of_episodes(episodes, advantage).teach(policy)
        return kept

    def _gradients(
        self, policy: LinearPolicy, point: int, missing: dict[str, str]
    ) -> dict[str, Real]:
        """The gradient of each batch under each credit. (K, P) each."""
        run = self.run
        begun = start(run.condition, run.recipe, run.seed)
        of_method: dict[str, list[Real]] = {name: [] for name in (TRUTH, *self.methods)}
        with tempfile.TemporaryDirectory() as folder:
            for batch in range(self.batches):
                tasks = run.tasks_of(begun.pool, point + batch)
                episodes = run.sampled(tasks, policy, [run.seed, 5, point, batch])
                truth = run.truth(tasks, episodes, policy, [run.seed, 6, point, batch])
                log = step_log(episodes, run="r", version=batch)
                for name, gradients in of_method.items():
                    if name in missing:
                        continue
                    method = self.methods.get(name)
                    try:
                        if method is None:
                            credit = ORACLES[name](truth)
                        else:
                            # A scorer of its own, so that batches stay independent.
                            made = Scorer(method, run.embedder, run.state_text, Path(folder))
                            credit = made(log)[1]
                    except MissingInputError as error:
                        missing[name] = str(error)
                        continue
                    lesson = Lesson.of_episodes(episodes, credit)
                    found = policy.gradient(lesson.decisions, lesson.chosen, lesson.weight)
                    gradients.append(found.ravel())
        return {name: np.stack(found) for name, found in of_method.items() if found}


def measured(gradient: Real, truth: Real, second: Real) -> dict[str, float]:
    """Inner products of the gradients of K batches under a credit and under the truth.

        u_k = g_k / (√v + 1e-8)                              v Adam's second moment
        gain   = mean_{j≠k} <u_j, t_k>      stepped = mean <u_k, u_k>
        along  = mean_{j≠k} <g_j, t_k>      signal  = mean_{j≠k} <g_j, g_k>
        square = mean <g_k, g_k>            true    = mean_{j≠k} <t_j, t_k>

    Only products of different batches stand for a mean, so that noise which credit and truth share
    counts for nothing.

    Args:
        gradient: g_k under the credit. (K, P)
        truth: t_k under the true advantage, of the same batches. (K, P)
        second: v. (P,)

    Returns:
        `PARTS`.
    """
    apart = ~np.identity(len(gradient), dtype=bool)
    stepped = gradient / (np.sqrt(second) + 1e-8)
    inner = gradient @ gradient.T
    return {
        "gain": float((stepped @ truth.T)[apart].mean()),
        "stepped": float((stepped**2).sum(axis=1).mean()),
        "along": float((gradient @ truth.T)[apart].mean()),
        "signal": float(inner[apart].mean()),
        "square": float(np.diag(inner).mean()),
        "true": float((truth @ truth.T)[apart].mean()),
    }


def scores(results: pl.DataFrame) -> pl.DataFrame:
    """The Adam cosine of each method in each condition, over its seeds.

    Returns:
        family, condition, method, score; without what is missing or not known.
    """
    keys = ["family", "condition", "method"]
    rows = [
        (*key, Measures.of(part).score)
        for key, part in results.drop_nulls("true").group_by(keys, maintain_order=True)
    ]
    found = pl.DataFrame(rows, schema=[*keys, ("score", pl.Float64)], orient="row")
    return found.filter(pl.col("score").is_not_nan())


def gradients(
    directory: str | Path,
    *,
    methods: Mapping[str, Method | None] | None = None,
    families: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    seeds: int = SEEDS,
    first_seed: int = 0,
    batches: int = BATCHES,
    embedder: str = "tfidf",
    workers: int | None = None,
    progress: Progress = silent,
) -> pl.DataFrame:
    """Measures the gradients of the linear policy under each method, at points of a training.

    The policies are those after `POINTS` batches of return-to-go. At each, independent batches are
    played, their true advantages found by playing on, and the gradients compared (`measured`).
    What is in the directory already is used again.

    Args:
        directory: Where shards and results are kept.
        methods: Name in the tables -> method, or None for an oracle; by default those of
            `bench training`.
        families: Worlds with dials or without; the three that such a policy can learn by default.
        names: Conditions; by default those of `bench training`.
        seeds: How many.
        first_seed: The first of them.
        batches: Independent batches at each point, at least 2.
        embedder: Representation for methods that need similarities.
        workers: As for `training`.
        progress: Told about progress.

    Returns:
        One row per condition, seed and method, in the columns of `SCHEMA`.

    Raises:
        ParameterError: A number is out of range or a list is empty.
        UnknownNameError: No such world or condition.
        ArtefactError: A file of the directory is damaged.
    """
    require_positive(seeds=seeds, batches=batches - 1, workers=workers)
    chosen = {name: create(name) for name in METHODS["linear"]} if methods is None else methods
    looks = [
        Look(
            run=Run(
                condition=condition,
                seed=seed,
                methods={},
                embedder=embedder,
                recipe=RECIPES["linear"],
            ),
            methods=chosen,
            batches=batches,
        )
        for seed in range(first_seed, first_seed + seeds)
        for condition in conditions(
            FAMILIES if families is None else families,
            CONDITIONS["linear"] if names is None else names,
        )
    ]
    folder = Path(directory)
    found = measure(looks, folder / SHARDS, schema=SCHEMA, workers=workers, progress=progress)
    write_table(found, folder / RESULTS_FILE)
    return found


def prediction(measured: pl.DataFrame, trained: pl.DataFrame) -> pl.DataFrame:
    """Rank correlation, over methods, of a measure with training.

    Args:
        measured: family, condition, method and score, as `scores` gives them.
        trained: The results of `bench training`.

    Returns:
        family, condition (null for the mean over a family's, and for both over all), methods,
        correlation, low and high: 95 % percentile bootstrap over methods, the same ones in all
        conditions. Families and conditions that only one side has are left out.
    """
    keys = ["family", "condition", "method"]
    both = (
        measured.select(*keys, "score")
        .join(trained.group_by(keys).agg(pl.col("area").mean()), on=keys)
        .drop_nulls()
        .sort(keys)
    )
    names = both["method"].unique().sort().to_list()
    rng = np.random.default_rng(0)
    draws = [list(range(len(names))), *rng.integers(len(names), size=(RESAMPLES, len(names)))]
    cells = {
        (str(family), str(condition)): [_correlation(part, names, draw) for draw in draws]
        for (family, condition), part in both.group_by(["family", "condition"], maintain_order=True)
    }
    families = sorted({family for family, _ in cells})
    rows = []
    for family in [*families, None]:
        of_family = {k: v for k, v in cells.items() if family in (None, k[0])}
        single = of_family if family is not None else {}
        for label, courses in [
            *((condition, [course]) for (_, condition), course in single.items()),
            (None, list(of_family.values())),
        ]:
            if not courses or np.isnan([course[0] for course in courses]).all():
                continue
            found = np.array(courses)
            known = ~np.isnan(found)
            total = np.where(known, found, 0.0).sum(axis=0)
            value, *drawn = total[known.any(axis=0)] / known.sum(axis=0)[known.any(axis=0)]
            low, high = np.quantile(drawn, [0.025, 0.975])
            rows.append(
                {
                    "family": family,
                    "condition": label,
                    "methods": len(names),
                    "correlation": float(value),
                    "low": float(low),
                    "high": float(high),
                }
            )
    schema = {
        "family": pl.String,
        "condition": pl.String,
        "methods": pl.Int64,
        **dict.fromkeys(("correlation", "low", "high"), pl.Float64),
    }
    return pl.DataFrame(rows, schema=schema)


def _correlation(part: pl.DataFrame, names: Sequence[str], draw: Sequence[int]) -> float:
    """Rank correlation of a measure and the area over drawn methods; NaN where one is constant."""
    place = {name: number for number, name in enumerate(part["method"])}
    rows = [place[names[number]] for number in draw if names[number] in place]
    left, right = (part[name].to_numpy()[rows] for name in ("score", "area"))
    if len(rows) < 3 or np.ptp(left) == 0.0 or np.ptp(right) == 0.0:
        return float("nan")
    return float(spearmanr(left, right).statistic)
