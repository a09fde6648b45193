"""OPO: a trajectory's reward against the length-weighted mean of its group."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.states.space import Space


@method(
    "opo",
    summary="R − mean of the group weighted by response tokens, the same for every step",
    source="arXiv 2505.23585",
    needs=("response_tokens",),
    traits=("tokens-population",),
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields={"group_of_one": "raw"},
            traits=("tokens-population", "raw-group-of-one"),
            golden={"opo_traj": Golden(params={"invalid_penalty": 0.0})},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class OPO(GroupMethod):
    """Optimal baseline where the gradient of a response grows with its length.

        A_i = R_i − Σ_j n_j R_j / Σ_j n_j        n the trajectory's response tokens

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so do a group of one and
    a group without any response token.

    **Conventions**: over the group's trajectories, self included; n is the sum of a trajectory's
    `response_tokens`; nothing is divided; group of one 0. Advantages of a group sum to 0 over its
    tokens, not over its trajectories.

    **Differs from** verl, which passes the raw reward of a group of one (dialect).

    Source: Hao et al., arXiv 2505.23585.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps, weigh_by_tokens=True)
        episode = episode_term(self, steps, scores, norm="mean")
        compared_with = {"compared_with": "the group's mean over tokens"}
        return {"episode": episode.with_facts(lambda step: compared_with)}
