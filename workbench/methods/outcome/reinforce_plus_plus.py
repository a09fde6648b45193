"""REINFORCE++: rewards normalised over the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.log.credit import Term, no_peers
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores
from workbench.methods.parts.whitening import OVER_TOKENS, Whitened
from workbench.parameters import parameter
from workbench.states.space import Space

_NO_PENALTY = Golden(params={"invalid_penalty": 0.0})
_VERL = "verl-project/verl verl/trainer/ppo/core_algos.py"
_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"


@method(
    "reinforce++",
    summary="(R − mean of the batch) / (its std + eps), the same for every step",
    source="arXiv 2501.03262",
    traits=("couples-groups", "credits-dead-groups"),
    dialects=(
        Dialect(
            name="verl",
            source=_VERL,
            fields=OVER_TOKENS,
            traits=("couples-groups", "tokens-population", "credits-dead-groups"),
            golden={"rfpp_traj": _NO_PENALTY},
        ),
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=_VERL_AGENT,
            fields={**OVER_TOKENS, "population": "steps", "count_copies": True},
            traits=("couples-groups", "tokens-population", "counts-copies", "credits-dead-groups"),
            golden={"rfpp_steps": Golden()},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class ReinforcePlusPlus(Whitened):
    """A trajectory's reward against all of its batch, whatever their tasks.

        A_i = (R_i − μ) / (σ + eps)

    There are no groups: an easy task's failure and a hard task's have the same credit.

    Degenerate cases: where all rewards of a batch are equal, exactly 0. A group whose rewards are
    equal, or of one trajectory, is compared with the rest of the batch like any other.

    **Conventions**: μ and σ over the batch's trajectories, each once; ddof 1; eps 1e-6 added to σ;
    no penalty for the distance from a reference policy.

    **Differs from** verl and verl-agent, whose statistics run over response tokens, so that long
    responses weigh more, with eps 1e-8 under the root (dialects); in the last, over step rows,
    duplicates included. The original rewards single tokens and discounts over them; here γ is 1.

    Source: Hu et al., arXiv 2501.03262.
    """

    recentre: bool = parameter(True, "whether the batch's mean is taken off")

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The reward, and the mean of all that is taken off."""
        scores = episode_scores(self, steps)
        reward = Term(
            score=scores.score,
            baseline=np.zeros(len(steps)),
            factor=np.ones(len(steps)),
            peers=no_peers,
            facts=lambda step: {"compared_with": "nothing"},
        )
        return self.whitened(steps, {"reward": (scores, reward)})
