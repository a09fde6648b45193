"""RLOO: a trajectory's reward against the mean of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.estimators.base import Dialect, Golden, estimator
from workbench.estimators.credit import Peers, Term
from workbench.estimators.episode import GroupMethod, episode_scores
from workbench.space import Space
from workbench.steps import Steps

_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"


@estimator(
    "rloo",
    summary="R − mean of the other trajectories of the group, the same for every step",
    source="arXiv 2402.14740",
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields={"group_of_one": "raw"},
            traits=("raw-group-of-one",),
            golden={
                "rloo_traj": Golden(params={"invalid_penalty": 0.0}),
                "rloo_vec_traj": Golden(params={"invalid_penalty": 0.0, "group_of_one": "zero"}),
            },
        ),
        Dialect(
            name="verl-agent",
            source=_VERL_AGENT,
            fields={"population": "steps", "group_of_one": "raw", "count_copies": True},
            traits=("steps-population", "counts-copies", "raw-group-of-one"),
            golden={"rloo_steps": Golden()},
        ),
        Dialect(
            name="verl-agent-first-row",
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={"population": "first_row", "group_of_one": "raw"},
            traits=("raw-group-of-one", "row-order"),
            golden={"rloo_dedup": Golden()},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class RLOO(GroupMethod):
    """Leave-one-out baseline: the mean reward of the group's other trajectories.

        A_i = R_i − Σ_{j≠i} R_j / (n − 1)

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one.

    **Conventions**: over trajectories, self left out; no deviation; group of one 0.

    **Differs from** verl's loop form, which passes the raw reward of a group of one, and from
    verl-agent, which leaves out one step row only: the trajectory's other rows, with the same
    reward, stay in the baseline (dialects). In `verl-agent-first-row` the baseline is that of the
    peers shown plus the fact `own_first_row_share`.

    Source: Ahmadian et al., arXiv 2402.14740.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        group = steps.group
        others = scores.count[group] - scores.own_weight
        rest = (scores.mean * scores.count)[group] - scores.own_weight * scores.own
        baseline = np.where(others > 0, rest / np.maximum(others, 1.0), 0.0)
        baseline = np.where(scores.constant[group], scores.mean[group], baseline)
        switched_on = np.full(len(steps), 1.0)
        if self.group_of_one == "zero":
            switched_on[others <= 0] = 0.0
        else:
            baseline[others <= 0] = 0.0

        def facts(step: int) -> dict[str, Any]:
            found: dict[str, Any] = {"others": float(others[step]), "population": self.population}
            if self.population == "first_row":
                # The originals leave out a step's own score where its first row's is in the sum.
                own = scores.value[steps.trajectory[step]] - scores.own[step]
                found["own_first_row_share"] = float(own / max(others[step], 1.0))
            return found

        def peers(step: int) -> Peers:
            return scores.peers(steps, step, leave_out=bool(scores.own_weight[step]))

        return {
            "episode": Term(
                score=scores.score, baseline=baseline, factor=switched_on, peers=peers, facts=facts
            )
        }
