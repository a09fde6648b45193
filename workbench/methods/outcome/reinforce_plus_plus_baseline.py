"""REINFORCE++-baseline: rewards less the group's mean, normalised over the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.methods.parts.whitening import OVER_TOKENS, Whitened
from workbench.states.space import Space

_NO_PENALTY = Golden(params={"invalid_penalty": 0.0})
_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"
_VERL_FIELDS = {**OVER_TOKENS, "group_of_one": "raw"}
_ROWS = {**_VERL_FIELDS, "population": "steps", "count_copies": True}


@method(
    "reinforce++-baseline",
    summary="(R − mean of the group) / (std of that over the batch + eps)",
    source="arXiv 2501.03262",
    traits=("couples-groups",),
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields=_VERL_FIELDS,
            traits=(
                "couples-groups",
                "tokens-population",
                "raw-group-of-one",
                "credits-dead-groups",
            ),
            golden={"rfpp_baseline_traj": _NO_PENALTY},
        ),
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=_VERL_AGENT,
            fields=_ROWS,
            traits=(
                "credits-dead-groups",
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
            invalid_penalty=0.1,
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={**_ROWS, "population": "first_row"},
            traits=(
                "credits-dead-groups",
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
    """A trajectory's reward against its group's mean, over one deviation for all of the batch.

        c_i = R_i − μ_g
        A_i = c_i / (σ(c) + eps)

    Unlike GRPO it does not give the few successes of a hard group more than c says.

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one.

    **Conventions**: μ over the group's trajectories, self included; σ over those of the
    batch, each once; ddof 1; eps 1e-6 added to σ; c is not centred again, since its mean is 0.

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
