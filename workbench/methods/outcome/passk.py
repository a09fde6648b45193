"""Pass@k credit: only the best trajectory of a group is reinforced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import EQUAL
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores
from workbench.methods.parts.fields import OutcomeMethod
from workbench.parameters import parameter
from workbench.states.space import Space

_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"


@method(
    "passk",
    summary="the best of a group: (R − second best) / (std + eps); all others 0",
    source="arXiv 2503.19595",
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields={},
            golden={
                "passk_traj_std": Golden(params={"invalid_penalty": 0.0}),
                "passk_traj_nostd": Golden(params={"invalid_penalty": 0.0, "norm": "mean"}),
            },
        ),
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=_VERL_AGENT,
            fields={"population": "steps", "count_copies": True},
            traits=("steps-population", "counts-copies"),
            golden={"passk_steps_std": Golden()},
        ),
        Dialect(
            name="verl-agent-first-row",
            invalid_penalty=0.1,
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={"population": "first_row"},
            traits=("row-order",),
            golden={"passk_dedup_std": Golden()},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class PassK(OutcomeMethod):
    """Marginal value of an attempt to the best of k, against the best of the others.

        A_i = max(0, R_i − max_{j≠i} R_j) / (σ_g + eps)

    It is the gradient of max R, that of pass@k where rewards are 0 and 1.

    Degenerate cases: two best that are equal give exactly 0 for the whole group, so under rewards
    of 0 and 1 every group with two successes is dead; a group of one gives 0.

    **Conventions**: over trajectories; ddof 1; eps 1e-6; with `norm="mean"` nothing is divided.

    **Differs from** verl, which refuses a group of one; from verl-agent, whose best and second best
    are step rows, nearly always two of the same trajectory, so that its credit is 0, or first
    rows, of which only the best one has credit and none of its trajectory's other steps
    (dialects).

    Source: Tang et al., arXiv 2503.19595.
    """

    norm: Literal["std", "mean"] = parameter("std", "whether to divide by the group's deviation")
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        second = scores.highest_other(steps)
        best_other = scores.value[second]
        size = np.maximum(np.abs(scores.own), np.abs(best_other))
        best = scores.own - best_other > EQUAL * size
        if self.population == "first_row":
            best &= scores.member[scores.own_index] == np.arange(len(steps))
        statistics = scores.of_group(steps, 1)
        divisor = np.ones(len(steps))
        if self.norm == "std":
            divisor[best] = statistics.std[best] + self.eps
        factor = np.where(best, 1.0 / divisor, 0.0)

        def facts(step: int) -> dict[str, Any]:
            return {
                "compared_with": "the best other reward",
                "best": bool(best[step]),
                "group_std": float(statistics.std[step]),
                "group_size": float(statistics.size[step]),
                "population": self.population,
            }

        def peers(step: int) -> Peers:
            return scores.other(step, second)

        return {
            "episode": Term(
                score=scores.score, baseline=best_other, factor=factor, peers=peers, facts=facts
            )
        }
