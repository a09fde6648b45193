"""RLOO: a trajectory's reward against the mean of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.states.space import Space

_NO_PENALTY = Golden(params={"invalid_penalty": 0.0})
_RAW = {"group_of_one": "raw"}
_VERL = "verl-project/verl verl/trainer/ppo/core_algos.py"
_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"
_SKYRL = "NovaSky-AI/SkyRL skyrl/backends/skyrl_train/utils/ppo_utils.py"
_SKYRL_AGENT = "NovaSky-AI/SkyRL skyrl-agent/skyrl_agent/integrations/skyrl_train/trainer.py"


@method(
    "rloo",
    summary="R − mean of the other trajectories of the group, the same for every step",
    source="arXiv 2402.14740",
    dialects=(
        Dialect(
            name="verl",
            source=_VERL,
            fields=_RAW,
            traits=("raw-group-of-one",),
            golden={"rloo_traj": _NO_PENALTY},
        ),
        Dialect(
            name="verl-vectorized",
            source=f"{_VERL}, rloo_vectorized",
            fields={},
            golden={"rloo_vec_traj": _NO_PENALTY},
        ),
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=_VERL_AGENT,
            fields={"population": "steps", "group_of_one": "raw", "count_copies": True},
            traits=("steps-population", "counts-copies", "raw-group-of-one"),
            golden={"rloo_steps": Golden()},
        ),
        Dialect(
            name="verl-agent-first-row",
            invalid_penalty=0.1,
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={"population": "first_row", "group_of_one": "raw"},
            traits=("raw-group-of-one", "row-order"),
            golden={"rloo_dedup": Golden()},
        ),
        Dialect(
            name="trl",
            source="huggingface/trl trl/trainer/rloo_trainer.py, normalize_advantages=False",
            fields={},
            golden={"trl_rloo": _NO_PENALTY},
        ),
        Dialect(
            name="skyrl",
            source=_SKYRL,
            fields={},
            golden={"skyrl_rloo": _NO_PENALTY},
        ),
        Dialect(
            name="skyrl-agent",
            source=f"{_SKYRL_AGENT}, loop",
            fields=_RAW,
            traits=("raw-group-of-one",),
            golden={"skyrl_loop": _NO_PENALTY},
        ),
        Dialect(
            name="rllm",
            source="rllm-org/rllm rllm/trainer/algorithms/rl_algo.py",
            fields=_RAW,
            traits=("raw-group-of-one",),
            golden={"rllm_rloo": _NO_PENALTY},
        ),
        Dialect(
            name="openrlhf",
            source="OpenRLHF/OpenRLHF openrlhf/trainer/ppo_utils/experience_maker.py, rloo",
            fields={},
            golden={"openrlhf_rloo": _NO_PENALTY},
        ),
        Dialect(
            name="areal",
            source="inclusionAI/AReaL areal/utils/data.py, mean_leave1out, no std",
            fields=_RAW,
            traits=("raw-group-of-one",),
            golden={"areal_group_loo": _NO_PENALTY},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class RLOO(GroupMethod):
    """Leave-one-out baseline: the mean reward of the group's other trajectories.

        A_i = R_i − Σ_{j≠i} R_j / (n − 1)

    SkyRL-Agent's recipe ("loop") is this on a log whose overlong and broken rollouts have
    `gradient_mask` false and `in_group_statistics` true: they train nothing, and their reward
    stays in the baseline of the others. An export leaves masked steps out of the loss.

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one.

    **Conventions**: over trajectories, self left out; no deviation; group of one 0.

    **Differs from** verl's loop form, SkyRL-Agent, rLLM and AReaL, which pass the raw reward of a
    group of one; from OpenRLHF, which gives NaN there; and from verl-agent, which leaves out one
    step row only: the trajectory's other rows, with the same reward, stay in the baseline
    (dialects). In `verl-agent-first-row` the baseline is that of the peers shown plus the fact
    `own_first_row_share`.

    Source: Ahmadian et al., arXiv 2402.14740.
    """

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        return {"episode": episode_term(self, steps, scores, norm="mean", leave_one_out=True)}
