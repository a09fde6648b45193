"""GiGPO: the group's credit plus a comparison among steps in the same state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.estimators.anchor import anchor_term
from workbench.estimators.base import Dialect, Golden, estimator
from workbench.estimators.credit import Term
from workbench.estimators.episode import GroupMethod, episode_scores, episode_term
from workbench.parameters import parameter
from workbench.returns import discounted_returns
from workbench.space import Space
from workbench.steps import Real, Steps

_STD = {"norm": "std"}


@dataclass(frozen=True, kw_only=True)
class StepMethod(GroupMethod):
    """A group method with a step term on discounted returns."""

    gamma: float = parameter(0.95, "γ, discount per step", minimum=0.0, maximum=1.0)
    step_weight: float = parameter(1.0, "ω, weight of the step term", minimum=0.0)
    eps: float = parameter(1e-6, "added to a deviation before dividing", minimum=0.0)

    def step_score(self, steps: Steps, scale: Real | float = 1.0) -> Real:
        """Discounted return of each step, less its penalty. (S,) float64."""
        returns = discounted_returns(steps.reward / scale, steps.step_index, self.gamma)
        return returns - self.invalid_penalty * steps.invalid_action

    def peer_weight(self, steps: Steps) -> Real:
        """How often each step counts as a peer. (S,) float64."""
        counted = steps.counted.astype(np.float64)
        return counted * steps.copies if self.count_copies else counted


@estimator(
    "gigpo",
    summary="GRPO's term + ω · (G − mean of G over the group's steps with the same observation)",
    source="arXiv 2505.10978",
    needs=("keys",),
    dialects=(
        Dialect(
            name="verl-agent",
            source="langfengQ/verl-agent gigpo/core_gigpo.py",
            fields={
                "norm": "mean",
                "population": "steps",
                "group_of_one": "raw",
                "count_copies": True,
            },
            traits=("steps-population", "counts-copies", "raw-group-of-one"),
            golden={
                "gigpo_mean": Golden(),
                "gigpo_mean__episode": Golden(term="episode"),
                "gigpo_mean__step": Golden(term="step"),
                "gigpo_std": Golden(params=_STD),
                "gigpo_std__episode": Golden(params=_STD, term="episode"),
                "gigpo_std__step": Golden(params=_STD, term="step"),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GiGPO(StepMethod):
    """Group-in-group advantage: an episode term and a term among equal states.

        G_t = r_t + γ G_{t+1}
        A_i = (R_i − μ_g)/(σ_g + eps) + ω · (G_i − mean_a G)/(std_a G + eps)

    The anchor group a of a step is all steps of its group with the same observation, at any time
    and in any trajectory, itself included. With `norm="mean"` neither term is divided.

    Degenerate cases: a step that is alone in its anchor group has a step term of 0, so where no
    observation repeats GiGPO is GRPO; equal returns in an anchor group give exactly 0.

    **Conventions**: episode statistics over trajectories; ddof 1 in both terms; eps 1e-6; self
    included; group of one 0.

    **Differs from** verl-agent, whose episode statistics run over step rows, duplicates included,
    and which divides rounding noise by eps where returns are equal (dialect, the noise left out).

    Source: Feng et al., arXiv 2505.10978, equations 3 to 8.
    """

    norm: Literal["std", "mean"] = parameter(
        "std", "whether both terms are divided by their deviations"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the step term."""
        scores = episode_scores(self, steps)
        return {
            "episode": episode_term(self, steps, scores, norm=self.norm, eps=self.eps),
            "step": anchor_term(
                space.state_key(),
                self.step_score(steps),
                self.peer_weight(steps),
                norm=self.norm,
                eps=self.eps,
                factor=self.step_weight,
            ),
        }
