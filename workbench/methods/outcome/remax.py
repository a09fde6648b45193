"""ReMax: a trajectory's reward against that of a greedy rollout of the same task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Term, no_peers
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.inputs import of_trajectory
from workbench.states.space import Space


@method(
    "remax",
    summary="R − reward of a greedy rollout of the same task, the same for every step",
    source="arXiv 2310.10505",
    needs=("greedy_reward",),
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields={},
            golden={"remax_traj": Golden()},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class ReMax(Method):
    """Greedy baseline: what the policy gets where it takes its likeliest tokens.

        A_i = R_i − b_i        b_i the log's `greedy_reward`

    Degenerate cases: a reward equal to the greedy one gives exactly 0. A group of one is like any
    other, for nothing is taken from the group.

    **Conventions**: R is the undiscounted sum of the trajectory's rewards; nothing is divided. The
    greedy rollout must be made by the same policy version; the log brings its reward.

    **Differs from** verl in nothing where the reward comes at the end. Given a reward per token,
    verl takes off only what is still to come.

    Source: Li et al., arXiv 2310.10505.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The difference alone; the greedy rollout is not a step of the log."""
        greedy = of_trajectory(steps, "greedy_reward")
        term = Term(
            score=steps.episode_reward[steps.trajectory],
            baseline=greedy[steps.trajectory],
            factor=np.ones(len(steps)),
            peers=no_peers,
            facts=lambda step: {"compared_with": "the greedy rollout's reward"},
        )
        return {"greedy": term}
