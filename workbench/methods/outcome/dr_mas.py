"""Dr. MAS: GRPO with statistics of each agent's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.segments import segment_first
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.anchor import anchor_term
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space


@method(
    "dr-mas",
    summary="(R − mean) / (std + eps) over the group's trajectories in which the same agent acts",
    source="arXiv 2602.08847",
    needs=("agent_id",),
    dialects=(
        Dialect(
            name="prime-rl-hierarchical",
            source="PrimeIntellect-ai/prime-rl src/prime_rl/orchestrator/algo/hierarchical_grpo.py",
            fields={"norm": "mean", "within_tree": "solver"},
            golden={"prime_hierarchical": Golden(table="prime_rl")},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class DrMAS(Method):
    """Per-agent normalisation: every agent is measured by the rollouts that it takes part in.

        A_i = (R_i − μ_k) / (σ_k + eps)        k the agent of step i

    R is the undiscounted sum of the trajectory's rewards; μ_k and σ_k are over the trajectories of
    the group in which agent k acts. Where all agents act in all rollouts it is GRPO; it differs
    where an agent is called in some only, such as a searcher in the harder ones. Agents named in
    `within_tree` are compared inside their tree of the group alone: attempts at one proposed
    problem, where other trees of the group are other problems.

    Degenerate cases: equal rewards of an agent give exactly 0, and so does an agent that acts in
    one trajectory of its group. Steps without an agent_id count as one further agent.

    **Conventions**: over trajectories, each once an agent, self included; ddof 1; eps 1e-6; group
    of one 0.

    **Differs from** the authors' trainer, which counts a trajectory as often as the agent acts in
    it (`population="steps"`); from the hierarchical GRPO of prime-rl, which does not divide and
    compares solvers by the problem that they were given, its episode (dialect; `tree_id` says it).

    Source: Feng et al., arXiv 2602.08847; langfengQ/DrMAS; PrimeIntellect-ai/prime-rl.
    """

    norm: Literal["std", "mean"] = parameter("std", "whether to divide by the agent's deviation")
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    population: Literal["trajectories", "steps"] = parameter(
        "trajectories", "what an agent's statistics run over: its trajectories or its steps"
    )
    within_tree: str = parameter(
        "", "agents, by comma, that are compared with those of the same tree_id alone"
    )

    def needs(self) -> Sequence[str]:
        """The agents, and the trees where some are compared inside them."""
        return (*super().needs(), *("tree_id",) * bool(self._inside))

    @property
    def _inside(self) -> list[str]:
        return [name.strip() for name in self.within_tree.split(",") if name.strip()]

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        agent = steps.column("agent_id")
        tree = steps.column("tree_id").set(~agent.is_in(self._inside).fill_null(value=False), None)
        weight = steps.counted.astype(np.float64)
        if self.population == "trajectories":
            weight = segment_first(labels(steps, steps.trajectory, agent), steps.counted)
        return {
            "episode": anchor_term(
                labels(steps, agent, tree),
                steps.episode_reward[steps.trajectory],
                weight,
                norm=self.norm,
                eps=self.eps,
                factor=1.0,
            )
        }
