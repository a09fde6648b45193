"""MaxRL: a trajectory's reward against its group's mean, in units of that mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "maxrl",
    summary="(R − mean of the group) / (mean of the group + eps), the same for every step",
    source="arXiv 2602.02710",
    dialects=(
        Dialect(
            name="skyrl",
            source="NovaSky-AI/SkyRL skyrl/backends/skyrl_train/utils/ppo_utils.py",
            fields={"group_of_one": "raw", "negative_mean": True},
            traits=("raw-group-of-one",),
            golden={"skyrl_maxrl": Golden(params={"invalid_penalty": 0.0})},
        ),
        Dialect(
            name="prime-rl",
            source="PrimeIntellect-ai/prime-rl src/prime_rl/orchestrator/algo/max_rl.py",
            fields={"eps": 0.0},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class MaxRL(GroupMethod):
    """Credit by how rare a success is: the gradient of the log of the success rate.

        A_i = (R_i − μ_g) / (μ_g + eps)

    With k successes among n rewards of 0 and 1 a success has (n − k)/k and a failure −1.

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one,
    and one whose mean is not above 0, where no share of the mean is defined.

    **Conventions**: mean over the group's trajectories, self included; eps 1e-6; group of one 0.

    **Differs from** SkyRL, which passes the raw reward of a group of one and divides by a negative
    mean too, which turns the signs round; from prime-rl by eps (dialects).

    Source: Tajwar et al., arXiv 2602.02710.
    """

    eps: float = parameter(1e-6, "added to the mean", minimum=0.0)
    negative_mean: bool = parameter(False, "whether a mean that is not above 0 divides too")

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        divisor = scores.mean + self.eps
        divides = (scores.mean > 0.0) | (self.negative_mean & (divisor != 0.0))
        scale = np.where(divides, 1.0 / np.where(divides, divisor, 1.0), 0.0)
        if self.group_of_one == "raw":
            scale[scores.lone] = 1.0
        return {
            "episode": episode_term(self, steps, scores, norm="mean", factor=scale[steps.group])
        }
