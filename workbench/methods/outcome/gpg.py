"""GPG: the group's mean taken off, and the batch's dead trajectories made up for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.pooling import batch_moments
from workbench.log.steps import Real, Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.methods.parts.scores import EpisodeScores
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "gpg",
    summary="(B / trajectories of groups with unequal rewards) · (R − mean of the group)",
    source="arXiv 2504.02546",
    traits=("couples-groups",),
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields={"group_of_one": "raw", "alive": "nonzero_rewards"},
            traits=("couples-groups", "raw-group-of-one"),
            golden={"gpg_traj": Golden(params={"invalid_penalty": 0.0})},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GPG(GroupMethod):
    """Mean-only credit, scaled up by the share of trajectories that have none.

        A_i = α · (R_i − μ_g) / f        α = B / (B − M)

    B trajectories are in the batch, M of them in groups whose rewards are all equal: those have no
    gradient, and a loss averaged over B would be too small by them.

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one.
    Where every group is dead, α is B and everything 0.

    **Conventions**: mean over the group's trajectories, self included; B and M count trajectories
    in group statistics; no deviation; group of one 0.

    **Differs from** verl, where α is B over the number of rewards other than 0, so that failures of
    another task scale this one, and a group of one has its raw reward (dialect). The paper's best
    results have α and f 1 as here; it tried α 1, and f the deviation, too, which `grpo` has.

    Source: Chu et al., arXiv 2504.02546; the authors' table of variants in AMAP-ML/GPG README.md.
    """

    pools_batches: ClassVar[bool] = True

    alive: Literal["unequal_groups", "nonzero_rewards"] = parameter(
        "unequal_groups", "which trajectories α counts as having a gradient"
    )
    f_norm: float = parameter(
        1.0, "f, divides every advantage", minimum=0.0, minimum_exclusive=True
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        alpha = self._alpha(steps, scores)[steps.batch]
        episode = episode_term(self, steps, scores, norm="mean", factor=alpha / self.f_norm)

        def facts(step: int) -> dict[str, Any]:
            return {
                "batch": steps.batch_name(int(steps.batch[step])),
                "alpha": float(alpha[step]),
            }

        return {"episode": episode.with_facts(facts)}

    def _alpha(self, steps: Steps, scores: EpisodeScores) -> Real:
        """α of each batch. (B,) float64."""
        if self.alive == "nonzero_rewards":
            alive = scores.value != 0.0
        else:
            alive = ~scores.constant[scores.group]
        batch = steps.group_batch[scores.group]
        found = batch_moments(steps, alive.astype(np.float64), batch, scores.weight)
        # Weights are counts, and so is their sum.
        return found.count / np.maximum(np.rint(found.count * found.mean), 1.0)
