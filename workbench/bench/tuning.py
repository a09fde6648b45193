"""Benefit of tuning: the value chosen by held-out rollouts against every fixed one."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.analysis.tuning.thresholds import KeyThreshold
from workbench.analysis.tuning.tunable import tuned_by
from workbench.bench.arguments import require_positive
from workbench.bench.cells import SCHEMA as RESULTS_SCHEMA
from workbench.bench.conditions import SEEDS, conditions
from workbench.bench.fidelity import cells_of, manifest
from workbench.bench.files import SHARDS, write_manifest, write_table
from workbench.bench.scene import draw_scene
from workbench.bench.shards import lacking, measure
from workbench.bench.summary import SUMMARISED, summarise
from workbench.bench.tuned import Tuned, with_setting
from workbench.errors import MissingInputError, ParameterError
from workbench.methods import Method, create
from workbench.states.space import Space
from workbench.wording import Progress, silent

RESULTS_FILE, TABLE_FILE, MANIFEST_FILE = (
    "tuning-results.parquet",
    "tuning.parquet",
    "tuning-manifest.json",
)
METHODS = ("proxmo", "soft-crbc", "crbc")
REGRETS = ("spearman", "gradient_cosine")
"""Measures in which regret is taken."""

MOST_FIXED = 24
"""Candidates beyond this number are thinned: neighbours on so fine a grid are alike."""

SCHEMA: dict[str, Any] = {
    "family": pl.String,
    "condition": pl.String,
    "method": pl.String,
    "measure": pl.String,
    "default": pl.Float64,
    "tuned": pl.Float64,
    "chosen": pl.String,
    "chosen_share": pl.Float64,
    "best_fixed": pl.Float64,
    "best_setting": pl.String,
    "best_of_each_log": pl.Float64,
    "regret": pl.Float64,
    "regret_low": pl.Float64,
    "regret_high": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "seeds": pl.Int64,
}
"""Columns of the table; `condition` is null where all conditions of the family are averaged.

    regret = best_fixed − tuned        gain = tuned − default

`best_setting` is the fixed value with the largest mean over the row's own logs, found in hindsight:
one for all conditions of the family, or one for the condition. Its regret is a little too large
therefore, and may be negative all the same, as tuning may set every log to another value.
`best_of_each_log` takes the largest of all fixed values on each log, which nothing can reach that
does not know the truth. `chosen` is what most logs were tuned to.
"""


@dataclass(frozen=True, kw_only=True)
class Tuning:
    """Results of `tuning`.

    Args:
        results: One row per condition, seed and variant of a method, in the columns of
            `cells.SCHEMA`.
        table: In the columns of `SCHEMA`: one row per family, method and measure, then the same for
            each condition.
    """

    results: pl.DataFrame
    table: pl.DataFrame


def tuning(
    directory: str | Path,
    *,
    methods: Mapping[str, Method] | None = None,
    families: Sequence[str] | None = None,
    names: Sequence[str] | None = None,
    seeds: int = SEEDS,
    embedder: str = "tfidf",
    workers: int | None = None,
    progress: Progress = silent,
) -> Tuning:
    """Measures methods at every fixed value of the field that is tuned, and tuned on each log.

    Shards are those of `fidelity` and may lie in the same directory.

    Args:
        directory: Where shards, results and the table are kept.
        methods: Name in the tables -> method that can be tuned; `METHODS` by default.
        families: Worlds; all by default.
        names: Conditions; all by default.
        seeds: How many, from 0 on.
        embedder: Representation for methods that need similarities.
        workers: Processes, as for `fidelity`.
        progress: Told about progress.

    Raises:
        UnknownNameError: No such world or condition.
        ParameterError: A number is out of range, a list is empty, or there is nothing to tune.
        MissingInputError: A method needs what simulated logs lack.
        ArtefactError: A file of the directory is damaged.
    """
    require_positive(seeds=seeds, workers=workers)
    given = {name: create(name) for name in METHODS} if methods is None else methods
    if not given:
        raise ParameterError("no methods are given")
    scene = draw_scene(conditions(families, names)[0], 0)
    space = Space(scene.steps, embedder=embedder)
    studies = [_Study.of(name, method, space) for name, method in given.items()]
    variants = {name: made for study in studies for name, made in study.variants.items()}
    cells = cells_of(variants, families, names, seeds, embedder)
    folder = Path(directory)
    results = measure(
        cells,
        folder / SHARDS,
        schema=RESULTS_SCHEMA,
        workers=workers,
        progress=progress,
    )
    for method, reason in lacking(results).items():
        raise MissingInputError(f"{method} cannot be measured here: {reason}")
    write_table(results, folder / RESULTS_FILE)
    progress("summarise", 0, 0)
    rows = [row for study in studies for row in study.rows(results)]
    table = pl.DataFrame(rows, schema=SCHEMA).sort(
        pl.col("condition").is_not_null(), "family", maintain_order=True
    )
    write_table(table, folder / TABLE_FILE)
    write_manifest(manifest(cells), folder / MANIFEST_FILE)
    return Tuning(results=results, table=table)


@dataclass(frozen=True, kw_only=True)
class _Study:
    """One method: as it is, at fixed values, and tuned.

    Args:
        name: What it is called.
        method: As it is.
        fixed: Name of a variant -> what the field is set to in it; the method's own value first.
        field: The field.
    """

    name: str
    method: Method
    fixed: Mapping[str, float | str]
    field: str

    @classmethod
    def of(cls, name: str, method: Method, space: Space) -> _Study:
        """Fixed values are the candidates of the first log, thinned where they are many."""
        found = tuned_by(method)
        values = found.candidates(space)
        thinned = values[:: math.ceil(len(values) / MOST_FIXED)]
        settings = map(found.setting, thinned) if isinstance(found, KeyThreshold) else thinned
        own = method.values[found.tunable]
        fixed = {f"{name}, {found.tunable} {setting}": setting for setting in settings}
        fixed = {key: setting for key, setting in fixed.items() if setting != own}
        return cls(name=name, method=method, fixed={name: own, **fixed}, field=found.tunable)

    @property
    def tuned(self) -> str:
        """Name of the tuned variant."""
        return f"{self.name} tuned"

    @property
    def variants(self) -> dict[str, Method | Tuned]:
        """Everything that is measured, by name."""
        fixed = {
            name: with_setting(self.method, self.field, setting)
            for name, setting in self.fixed.items()
        }
        return {**fixed, self.tuned: Tuned(method=self.method)}

    def rows(self, results: pl.DataFrame) -> Iterator[dict[str, Any]]:
        """Rows of the table for each family."""
        own = results.filter(pl.col("method").is_in([*self.fixed, self.tuned]))
        ceiling = f"{self.name}, best of each log"
        each_log = ["family", "condition", "seed"]
        best = own.filter(pl.col("method") != self.tuned)
        best = best.group_by(each_log, maintain_order=True).agg(pl.col(*REGRETS).max())
        own = pl.concat([own, best.with_columns(method=pl.lit(ceiling))], how="diagonal")
        summary = summarise(own, self.tuned, {name: SUMMARISED[name] for name in REGRETS})
        by = ["family", "condition", "measure"]
        for (family, condition, name), part in summary.group_by(by, maintain_order=True):
            of = {row["method"]: row for row in part.iter_rows(named=True)}
            fixed = [of[variant] for variant in self.fixed]
            # A measure may have no value at all, where no group can be ranked.
            best_fixed = max(
                fixed, key=lambda row: -math.inf if row["value"] is None else row["value"]
            )
            default = of[self.name]
            yield {
                "family": family,
                "condition": condition,
                "method": self.name,
                "measure": name,
                "default": default["value"],
                "tuned": of[self.tuned]["value"],
                **self._chosen(results, family, condition),
                "best_fixed": best_fixed["value"],
                "best_setting": str(self.fixed[best_fixed["method"]]),
                "best_of_each_log": of[ceiling]["value"],
                "regret": best_fixed["difference"],
                "regret_low": best_fixed["difference_low"],
                "regret_high": best_fixed["difference_high"],
                "gain": _negative(default["difference"]),
                "gain_low": _negative(default["difference_high"]),
                "gain_high": _negative(default["difference_low"]),
                "seeds": default["seeds"],
            }

    def _chosen(
        self, results: pl.DataFrame, family: object, condition: object
    ) -> dict[str, str | float]:
        rows = results.filter((pl.col("method") == self.tuned) & (pl.col("family") == family))
        if condition is not None:
            rows = rows.filter(pl.col("condition") == condition)
        counts = rows["setting"].value_counts().sort(["count", "setting"], descending=True)
        setting, count = counts.row(0)
        return {"chosen": setting, "chosen_share": count / rows.height}


def _negative(value: float | None) -> float | None:
    return None if value is None else 0.0 - value
