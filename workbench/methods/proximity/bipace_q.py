"""BiPACE-Q: the mean return of an action in a cluster of states against that of the cluster."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import segment_mean, segment_sum
from workbench.log.steps import Steps
from workbench.methods.base import method
from workbench.methods.outcome.rloo import RLOO
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import ActionKeyed, GroupMethod, StepMethod
from workbench.methods.parts.transitions import gap_term
from workbench.parameters import fields, parameter
from workbench.states.keys import labels, parse_state_key
from workbench.states.space import Space


@method(
    "bipace-q",
    summary="GRPO's term + ω · (mean G of the action in the cluster − mean G of the cluster)",
    source="arXiv 2606.25556",
    needs=("keys",),
    traits=("mixed-scale",),
)
@dataclass(frozen=True, kw_only=True)
class BiPACEQ(StepMethod, ActionKeyed, GroupMethod):
    """Actions compared inside clusters of near states.

        S_i = mean of G over the cluster's steps with i's action − mean of G over the cluster
        S_i = R_i − mean of R over the other trajectories        where i is alone in its cluster
        A_i = (R_i − μ_g)/(σ_g + eps) + ω S_i

    Degenerate cases: a cluster with one action only, or with equal returns, gives a step term of
    exactly 0; a group of one gives 0.

    **Conventions**: episode statistics over trajectories, ddof 1, eps 1e-6; both means include the
    step itself; the step term is in units of returns and never divided, so rewards ten times as
    large make it ten times as large against the same episode term (unless `norm="mean"`, where both
    grow); a peer is any other step of the cluster.

    **Differs from** the paper, whose states are hidden states of the acting model, clustered
    greedily by cosine: here they are texts under any state key, by default connected clusters of
    the embedder in use, which depend on no order. Its code was not to be had; that the step term
    of a step without a peer is RLOO's is reported at second hand, hence `without_peer`.

    Source: arXiv 2606.25556.
    """

    state_key: str = parameter(
        "similar:threshold=0.9", "key by which states are near", parse=parse_state_key
    )
    without_peer: Literal["rloo", "zero"] = parameter(
        "rloo", "step term of a step that is alone in its cluster: RLOO's advantage, or 0"
    )
    norm: Literal["std", "mean"] = parameter(
        "std", "whether the episode term is divided by its deviation"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the comparison of actions."""
        scores = episode_scores(self, steps)
        return {
            "episode": episode_term(self, steps, scores, norm=self.norm, eps=self.eps),
            "step": self._step_term(steps, space),
        }

    def _step_term(self, steps: Steps, space: Space) -> Term:
        score, weight = self.step_score(steps), self.peer_weight(steps)
        state = space.state_key(self.state_key)
        pair = labels(steps, state, space.action_key(self.action_key))
        pairs = int(pair.max()) + 1
        visits = segment_sum(weight, pair, pairs)[pair]
        value = segment_mean(score, pair, pairs, weight)[pair]
        compared = gap_term(
            np.where(visits > 0, value, score),
            state,
            weight,
            factor=self.step_weight,
            facts=lambda step: {"action_visits": float(visits[step])},
        )
        alone = segment_sum(weight, state, int(state.max()) + 1)[state] - weight <= 0
        if self.without_peer == "zero" or not alone.any():
            return compared
        shared = {name: getattr(self, name) for name in fields(GroupMethod)}
        loo = RLOO(**shared).terms(steps, space)["episode"]

        def of(step: int) -> Term:
            return loo if alone[step] else compared

        def facts(step: int) -> dict[str, Any]:
            return {**of(step).facts(step), "has_peers": not alone[step]}

        def peers(step: int) -> Peers:
            return of(step).peers(step)

        return Term(
            score=np.where(alone, loo.score, compared.score),
            baseline=np.where(alone, loo.baseline, compared.baseline),
            factor=np.where(alone, self.step_weight * loo.factor, compared.factor),
            peers=peers,
            facts=facts,
        )
