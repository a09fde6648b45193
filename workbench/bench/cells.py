"""One cell of the benchmark: what every method scores in one condition under one seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from workbench.bench.conditions import BATCHES, TASKS, WORLDS_VERSION, Condition
from workbench.bench.identity import depends_on_texts, embedder_named, identity
from workbench.bench.measures import (
    calibration_slope,
    cosine,
    group_mean,
    kendall,
    mean,
    ordered_groups,
    pivotal,
    precision_at_k,
    sign_agreement,
    spearman,
)
from workbench.bench.scene import Scene, draw_scene
from workbench.bench.tuned import Tuned
from workbench.errors import MissingInputError
from workbench.files import digest, package_version
from workbench.log.segments import segment_constant
from workbench.log.steps import Real
from workbench.methods import Method
from workbench.states.space import Space

MEASURES_VERSION = "1"
"""Changes with any change of a measure or an oracle."""

ORACLES: Mapping[str, Callable[[Scene], Real]] = {
    "oracle-advantage": lambda scene: scene.true_advantage,
    "oracle-value": lambda scene: scene.returns - scene.true_value,
}
"""Credits that only a simulator can give: the truth, and a return against the true value."""

MEASURES = (
    "spearman",
    "kendall",
    "sign_agreement",
    "precision_at_k",
    "calibration_slope",
    "gradient_cosine",
)
PARTS = ("gradient_dot", "gradient_cross", "gradient_square", "true_square")
"""Inner products of gradients, from which bias and noise over seeds are made."""

SCHEMA: dict[str, Any] = {
    "family": pl.String,
    "condition": pl.String,
    "dial": pl.String,
    "value": pl.Float64,
    "group_size": pl.Int64,
    "seed": pl.Int64,
    "method": pl.String,
    "embedder": pl.String,
    "setting": pl.String,
    "missing": pl.String,
    "steps": pl.Int64,
    "success": pl.Float64,
    "singletons": pl.Float64,
    "live_groups": pl.Int64,
    "ranked_groups": pl.Int64,
    **dict.fromkeys((*MEASURES, *PARTS), pl.Float64),
    "key": pl.String,
}
"""Columns of the results: one row per condition, seed and method; `setting` is the tuned value."""


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Measurements of one condition under one seed.

    Args:
        condition: The condition.
        seed: Of tasks and rollouts.
        methods: Name in the tables -> the method, one that is tuned on the log first, or None for
            an oracle of that name.
        embedder: Representation for methods that need similarities.
    """

    condition: Condition
    seed: int
    methods: Mapping[str, Method | Tuned | None]
    embedder: str

    @property
    def keys(self) -> dict[str, str]:
        """Digest of all that decides a row, by method."""
        here = {
            "versions": [WORLDS_VERSION, MEASURES_VERSION, package_version()],
            "family": self.condition.family,
            "dials": vars(self.condition.world),
            "rollouts": [TASKS, BATCHES, self.condition.group],
            "seed": self.seed,
        }
        return {
            name: digest({**here, "method": identity(name, method, self.embedder)})
            for name, method in self.methods.items()
        }

    def rows(self) -> pl.DataFrame:
        """Measure every method: one row each, in the columns of `SCHEMA`."""
        scene = draw_scene(self.condition, self.seed)
        space = Space(scene.steps, embedder=embedder_named(self.embedder))
        keys = self.keys
        here = {
            "family": self.condition.family,
            "condition": self.condition.name,
            "dial": self.condition.dial,
            "value": self.condition.value,
            "group_size": self.condition.group,
            "seed": self.seed,
            **_facts(scene, space),
        }
        rows = []
        for name, method in self.methods.items():
            embedder = self.embedder if depends_on_texts(method) else None
            row: dict[str, Any] = {**here, "method": name, "embedder": embedder, "key": keys[name]}
            try:
                credit, row["setting"] = _credit(name, method, scene, space)
                found = measured(scene, credit)
            except MissingInputError as error:
                rows.append({**row, "missing": str(error)})
            else:
                rows.append({**row, **found})
        return pl.DataFrame(rows, schema=SCHEMA).fill_nan(None)


def _credit(
    name: str, method: Method | Tuned | None, scene: Scene, space: Space
) -> tuple[Real, str | None]:
    """The credit, and what a tuned method was set to."""
    if method is None:
        return ORACLES[name](scene), None
    if not isinstance(method, Tuned):
        return method(scene.steps, space).advantage, None
    chosen, setting = method.chosen(scene.steps, space)
    return chosen(scene.steps, space).advantage, setting


def measured(scene: Scene, credit: Real) -> dict[str, float]:
    """All measures of a credit of a scene.

    Ranks, signs and precision are taken within a group and averaged over the groups in which the
    true advantage is not constant; the slope is over all steps of these groups; the cosine is
    averaged over batches. A constant credit ranks nothing: 0 in both correlations and the cosine,
    ½ in the sign, chance in the precision, and no slope.

    Args:
        scene: The scene.
        credit: Advantage of each of its steps. (S,) float64.

    Returns:
        `MEASURES`, NaN where one is not defined, and `PARTS`: mean over batches of <g, g*> and
        of <g, g>, mean over pairs of batches of <g, g'>, and <g*, g*>.
    """
    truth, start = scene.true_advantage, scene.steps.group_start
    ranked = ordered_groups(truth, start)
    decisive = np.concatenate([pivotal(piece) for piece in np.split(truth, start[1:-1])])
    here = ranked[scene.steps.group]
    gradients, true = scene.gradients(credit), scene.true_gradient
    inner, batches = gradients @ gradients.T, len(gradients)
    own = float(np.trace(inner))
    return {
        "spearman": mean(spearman(credit, truth, scene.steps.group, len(ranked))[ranked]),
        "kendall": group_mean(kendall, start, credit, truth, among=ranked),
        "sign_agreement": group_mean(sign_agreement, start, credit, truth, decisive, among=ranked),
        "precision_at_k": group_mean(precision_at_k, start, credit, decisive, among=ranked),
        "calibration_slope": calibration_slope(credit[here], truth[here]),
        "gradient_cosine": float(np.mean([cosine(each, true) for each in gradients])),
        "gradient_dot": float((gradients @ true).mean()),
        "gradient_cross": float((inner.sum() - own) / (batches * (batches - 1))),
        "gradient_square": own / batches,
        "true_square": float(true @ true),
    }


def _facts(scene: Scene, space: Space) -> dict[str, float | int]:
    """Facts of a scene that a reader needs to judge the numbers."""
    steps, state = scene.steps, space.state_key("exact")
    reward = steps.episode_reward
    dead = segment_constant(reward, steps.trajectory_group, steps.groups)
    ranked = ordered_groups(scene.true_advantage, steps.group_start)
    success = steps.of_trajectory("success").to_numpy()
    return {
        "steps": len(steps),
        "success": float(success.mean()),
        "singletons": float((np.bincount(state)[state] == 1).mean()),
        "live_groups": int((~dead).sum()),
        "ranked_groups": int(ranked.sum()),
    }
