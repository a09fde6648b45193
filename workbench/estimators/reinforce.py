"""REINFORCE++: rewards normalised over the whole log, with or without a group baseline first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.estimators.base import Dialect, Golden, estimator
from workbench.estimators.credit import Term
from workbench.estimators.episode import (
    GroupMethod,
    episode_scores,
    episode_term,
    no_peers,
)
from workbench.estimators.whitening import Whitened
from workbench.parameters import parameter
from workbench.space import Space
from workbench.steps import Steps

_NO_PENALTY = Golden(params={"invalid_penalty": 0.0})
_VERL = "verl-project/verl verl/trainer/ppo/core_algos.py"
_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"
_TOKENS = {
    "batch_weight": "tokens",
    "recentre": True,
    "batch_eps": 1e-8,
    "batch_eps_on": "variance",
}
_ROWS = {**_TOKENS, "population": "steps", "count_copies": True}


@estimator(
    "reinforce++",
    summary="(R − mean of all trajectories) / (their std + eps), the same for every step",
    source="arXiv 2501.03262",
    traits=("couples-groups",),
    dialects=(
        Dialect(
            name="verl",
            source=_VERL,
            fields=_TOKENS,
            traits=("couples-groups", "tokens-population"),
            golden={"rfpp_traj": _NO_PENALTY},
        ),
        Dialect(
            name="verl-agent",
            source=_VERL_AGENT,
            fields=_ROWS,
            traits=("couples-groups", "tokens-population", "counts-copies"),
            golden={"rfpp_steps": Golden()},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class ReinforcePlusPlus(Whitened):
    """A trajectory's reward against all of the log, whatever their tasks.

        A_i = (R_i − μ) / (σ + eps)

    There are no groups: an easy task's failure and a hard task's have the same credit.

    Degenerate cases: where all rewards of the log are equal, exactly 0. A group whose rewards are
    equal, or of one trajectory, is compared with the rest of the log like any other.

    **Conventions**: μ and σ over the log's trajectories, each once; ddof 1; eps 1e-6 added to σ;
    no penalty for the distance from a reference policy.

    **Differs from** verl and verl-agent, whose statistics run over response tokens, so that long
    responses weigh more, with eps 1e-8 under the root (dialects); in the last, over step rows,
    duplicates included. The original rewards single tokens and discounts over them; here γ is 1.

    Source: Hu et al., arXiv 2501.03262.
    """

    recentre: bool = parameter(True, "whether the mean of all trajectories is taken off")

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


@estimator(
    "reinforce++-baseline",
    summary="(R − mean of the group) / (std of that over all trajectories + eps)",
    source="arXiv 2501.03262",
    traits=("couples-groups",),
    dialects=(
        Dialect(
            name="verl",
            source=_VERL,
            fields={**_TOKENS, "group_of_one": "raw"},
            traits=("couples-groups", "tokens-population", "raw-group-of-one"),
            golden={"rfpp_baseline_traj": _NO_PENALTY},
        ),
        Dialect(
            name="verl-agent",
            source=_VERL_AGENT,
            fields={**_ROWS, "group_of_one": "raw"},
            traits=(
                "couples-groups",
                "tokens-population",
                "steps-population",
                "counts-copies",
                "raw-group-of-one",
            ),
            golden={"rfpp_baseline_steps": Golden()},
        ),
        Dialect(
            name="verl-agent-first-row",
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={**_ROWS, "population": "first_row", "group_of_one": "raw"},
            traits=(
                "couples-groups",
                "tokens-population",
                "counts-copies",
                "raw-group-of-one",
                "row-order",
            ),
            golden={"rfpp_baseline_dedup": Golden()},
        ),
        Dialect(
            name="rllm",
            source="rllm-org/rllm rllm/trainer/algorithms/advantage.py",
            fields={"batch_ddof": 0},
            traits=("couples-groups",),
            golden={"rllm_rfpp_baseline": _NO_PENALTY},
        ),
        Dialect(
            name="ms-swift",
            source="modelscope/ms-swift swift/rl_core/advantage.py, scale_rewards=batch",
            fields={"batch_eps": 1e-4},
            traits=("couples-groups",),
            golden={"swift_rfpp_batch": _NO_PENALTY},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class ReinforcePlusPlusBaseline(GroupMethod, Whitened):
    """A trajectory's reward against its group's mean, over one deviation for all groups.

        c_i = R_i − μ_g
        A_i = c_i / (σ(c) + eps)

    Unlike GRPO it does not give the few successes of a hard group more than c says.

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one.

    **Conventions**: μ over the group's trajectories, self included; σ over the log's trajectories,
    each once; ddof 1; eps 1e-6 added to σ; c is not centred again, since its mean is 0.

    **Differs from** verl and verl-agent, whose σ runs over response tokens with eps 1e-8 under the
    root, and which take the token mean of c off again, so that even a dead group has credit; a
    group of one enters with its raw reward. rLLM has ddof 0, ms-swift eps 1e-4 (dialects).

    Source: Hu et al., arXiv 2501.03262.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term, and the mean of all where it is taken off."""
        scores = episode_scores(self, steps)
        episode = episode_term(self, steps, scores, norm="mean")
        return self.whitened(steps, {"episode": (scores, episode)})
