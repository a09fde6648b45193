"""GRPO: a trajectory's reward against its group's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from workbench.estimators.base import Dialect, Golden, estimator
from workbench.estimators.credit import Term
from workbench.estimators.episode import GroupMethod, episode_scores, episode_term
from workbench.parameters import parameter
from workbench.space import Space
from workbench.steps import Steps

_NO_PENALTY = {"invalid_penalty": 0.0}
_MEAN = {"norm": "mean"}
_VERL = "verl-project/verl verl/trainer/ppo/core_algos.py"
_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"


@estimator(
    "grpo",
    summary="(R − mean of the group) / (std of the group + eps), the same for every step",
    source="arXiv 2402.03300",
    dialects=(
        Dialect(
            name="verl",
            source=_VERL,
            fields={"group_of_one": "raw"},
            traits=("raw-group-of-one",),
            golden={
                "grpo_traj_std": Golden(params=_NO_PENALTY),
                "grpo_traj_nostd": Golden(params=_NO_PENALTY | _MEAN),
                "grpo_vec_traj_std": Golden(params=_NO_PENALTY),
            },
        ),
        Dialect(
            name="verl-agent",
            source=_VERL_AGENT,
            fields={"population": "steps", "group_of_one": "raw", "count_copies": True},
            traits=("steps-population", "counts-copies", "raw-group-of-one"),
            golden={
                "grpo_steps_std": Golden(),
                "grpo_steps_nostd": Golden(params=_MEAN),
            },
        ),
        Dialect(
            name="verl-agent-first-row",
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={"population": "first_row", "group_of_one": "raw"},
            traits=("raw-group-of-one", "row-order"),
            golden={
                "grpo_dedup_std": Golden(),
                "grpo_dedup_nostd": Golden(params=_MEAN),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GRPO(GroupMethod):
    """Group-relative advantage: every step of a trajectory gets the trajectory's.

        A_i = (R_i − μ_g) / (σ_g + eps)

    R is the undiscounted sum of a trajectory's rewards, μ and σ are over its group. With
    `norm="mean"` nothing is divided (the normaliser of Dr.GRPO).

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one;
    excluded trajectories are in no statistic.

    **Conventions**: mean and deviation over trajectories, self included; ddof 1; eps 1e-6; group
    of one 0.

    **Differs from** verl, which passes the raw reward of a group of one, and from verl-agent, which
    takes its statistics over step rows, duplicates included (dialects).

    Source: Shao et al., arXiv 2402.03300, equation 21 (outcome supervision).
    """

    norm: Literal["std", "mean"] = parameter("std", "whether to divide by the group's deviation")
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    ddof: int = parameter(1, "n − ddof is the denominator of the variance", minimum=0, maximum=1)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        return {
            "episode": episode_term(
                self, steps, scores, norm=self.norm, eps=self.eps, ddof=self.ddof
            )
        }
