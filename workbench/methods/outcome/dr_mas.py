"""Dr. MAS: GRPO with statistics of each agent's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import segment_first
from workbench.log.steps import Steps
from workbench.methods.base import Method, method
from workbench.methods.parts.anchor import anchor_term
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "dr-mas",
    summary="(R − mean) / (std + eps) over the group's trajectories in which the same agent acts",
    source="arXiv 2602.08847",
    needs=("agent_id",),
)
@dataclass(frozen=True, kw_only=True)
class DrMAS(Method):
    """Per-agent normalisation: every agent is measured by the rollouts that it takes part in.

        A_i = (R_i − μ_k) / (σ_k + eps)        k the agent of step i

    R is the undiscounted sum of the trajectory's rewards; μ_k and σ_k are over the trajectories of
    the group in which agent k acts. Where all agents act in all rollouts it is GRPO; it differs
    where an agent is called in some only, such as a searcher in the harder ones.

    Degenerate cases: equal rewards of an agent give exactly 0, and so does an agent that acts in
    one trajectory of its group. Steps without an agent_id count as one further agent.

    **Conventions**: over trajectories, each once an agent, self included; ddof 1; eps 1e-6; group
    of one 0.

    **Differs from** the authors' trainer, which counts a trajectory as often as the agent acts in
    it (`population="steps"`).

    Source: Feng et al., arXiv 2602.08847; langfengQ/DrMAS.
    """

    norm: Literal["std", "mean"] = parameter("std", "whether to divide by the agent's deviation")
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    population: Literal["trajectories", "steps"] = parameter(
        "trajectories", "what an agent's statistics run over: its trajectories or its steps"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        agent = steps.column("agent_id")
        weight = steps.counted.astype(np.float64)
        if self.population == "trajectories":
            weight = segment_first(labels(steps, steps.trajectory, agent), steps.counted)
        return {
            "episode": anchor_term(
                labels(steps, agent),
                steps.episode_reward[steps.trajectory],
                weight,
                norm=self.norm,
                eps=self.eps,
                factor=1.0,
            )
        }
