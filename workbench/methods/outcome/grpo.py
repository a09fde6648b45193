"""GRPO: a trajectory's reward against its group's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import Norm, episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.parameters import parameter
from workbench.states.space import Space

_NO_PENALTY = {"invalid_penalty": 0.0}
_MEAN = {"norm": "mean"}
_VERL = "verl-project/verl verl/trainer/ppo/core_algos.py"
_VERL_AGENT = "langfengQ/verl-agent verl/trainer/ppo/core_algos.py"
_TRL = "huggingface/trl trl/trainer/grpo_trainer.py"


@method(
    "grpo",
    summary="(R − mean of the group) / (std of the group + eps), the same for every step",
    source="arXiv 2402.03300",
    dialects=(
        Dialect(
            name="verl",
            source=_VERL,
            fields={"group_of_one": "raw"},
            traits=("raw-group-of-one",),
            golden={
                "grpo_traj_std": Golden(params=_NO_PENALTY),
                "grpo_traj_nostd": Golden(params=_NO_PENALTY | _MEAN),
                "grpo_vec_traj_std": Golden(params=_NO_PENALTY),
            },
        ),
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=_VERL_AGENT,
            fields={"population": "steps", "group_of_one": "raw", "count_copies": True},
            traits=("steps-population", "counts-copies", "raw-group-of-one"),
            golden={
                "grpo_steps_std": Golden(),
                "grpo_steps_nostd": Golden(params=_MEAN),
            },
        ),
        Dialect(
            name="verl-agent-first-row",
            invalid_penalty=0.1,
            source=f"{_VERL_AGENT}, compute_mean_std_cross_steps=False",
            fields={"population": "first_row", "group_of_one": "raw"},
            traits=("raw-group-of-one", "row-order"),
            golden={
                "grpo_dedup_std": Golden(),
                "grpo_dedup_nostd": Golden(params=_MEAN),
            },
        ),
        Dialect(
            name="ragen",
            source="mll-lab-nu/RAGEN ragen/trainer/core_algos.py, episode_ids given",
            fields={"population": "first_row", "group_of_one": "raw"},
            traits=("raw-group-of-one", "row-order"),
            golden={"ragen_grpo_std": Golden()},
        ),
        Dialect(
            name="trl",
            source=f"{_TRL}, scale_rewards=group",
            fields={"eps": 1e-4},
            golden={
                "trl_grpo_group": Golden(params=_NO_PENALTY),
                "trl_grpo_none": Golden(params=_NO_PENALTY | _MEAN),
            },
        ),
        Dialect(
            name="trl-batch",
            source=f"{_TRL}, scale_rewards=batch",
            fields={"eps": 1e-4, "norm": "batch"},
            traits=("couples-groups",),
            golden={"trl_grpo_batch": Golden(params=_NO_PENALTY)},
        ),
        Dialect(
            name="skyrl",
            source="NovaSky-AI/SkyRL skyrl/backends/skyrl_train/utils/ppo_utils.py",
            fields={"group_of_one": "raw"},
            traits=("raw-group-of-one",),
            golden={"skyrl_grpo": Golden(params=_NO_PENALTY)},
        ),
        Dialect(
            name="rllm",
            source="rllm-org/rllm rllm/trainer/algorithms/rl_algo.py",
            fields={"group_of_one": "raw", "ddof": 0},
            traits=("raw-group-of-one",),
            golden={"rllm_grpo_std": Golden(params=_NO_PENALTY)},
        ),
        Dialect(
            name="nemo-rl",
            source="NVIDIA-NeMo/RL nemo_rl/algorithms/advantage_estimator.py",
            fields={"baseline": "others"},
            traits=("mixed-scale",),
            golden={
                "nemo_grpo_loo": Golden(params=_NO_PENALTY),
                "nemo_grpo_mean": Golden(params=_NO_PENALTY | {"baseline": "group"}),
            },
        ),
        Dialect(
            name="openrlhf",
            source="OpenRLHF/OpenRLHF openrlhf/trainer/ppo_utils/experience_maker.py, group_norm",
            fields={"eps": 1e-9},
            golden={"openrlhf_group_norm": Golden(params=_NO_PENALTY)},
        ),
        Dialect(
            name="ms-swift",
            source="modelscope/ms-swift swift/rl_core/advantage.py",
            fields={"eps": 1e-4},
            golden={"swift_grpo_group": Golden(params=_NO_PENALTY)},
        ),
        Dialect(
            name="areal",
            source="inclusionAI/AReaL areal/utils/data.py, mean_level=std_level=group",
            fields={"eps": 1e-5},
            golden={"areal_group_std": Golden(params=_NO_PENALTY)},
        ),
        Dialect(
            name="art",
            source="OpenPipe/ART src/art/preprocessing/tokenize.py",
            fields={"ddof": 0},
        ),
        Dialect(
            name="prime-rl",
            source="PrimeIntellect-ai/prime-rl src/prime_rl/orchestrator/algo/grpo.py",
            fields=_MEAN,
        ),
        Dialect(
            name="tinker-cookbook",
            source="thinking-machines-lab/tinker-cookbook tinker_cookbook/rl/data_processing.py",
            fields=_MEAN,
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GRPO(GroupMethod):
    """Group-relative advantage: every step of a trajectory gets the trajectory's.

        A_i = (R_i − μ_g) / (σ_g + eps)

    R is the undiscounted sum of a trajectory's rewards, μ and σ are over its group. With
    `norm="mean"` nothing is divided (the normaliser of Dr.GRPO); with "batch" σ is that of all
    trajectories of the batch; with `baseline="others"` μ and σ are those of the group's other
    trajectories.

    Degenerate cases: a group whose rewards are all equal gives exactly 0; so does a group of one;
    excluded trajectories are in no statistic. Where the others are equal among themselves,
    R − μ is left undivided.

    **Conventions**: mean and deviation over trajectories, self included; ddof 1; eps 1e-6; group
    of one 0.

    **Differs from** verl, SkyRL and rLLM, which pass the raw reward of a group of one; from
    verl-agent, which takes its statistics over step rows, duplicates included; from RAGEN, which
    takes them over first rows with those rows' penalties; from TRL and ms-swift (eps 1e-4), AReaL
    (1e-5), OpenRLHF (1e-9, and NaN for a group of one) and rLLM and ART (ddof 0); from NeMo-RL,
    which leaves the trajectory itself out (dialects).

    Source: Shao et al., arXiv 2402.03300, equation 21 (outcome supervision).
    """

    pools_batches: ClassVar[bool] = True

    norm: Norm = parameter(
        "std",
        "what to divide by: the group's deviation, nothing, or that of all rewards of the batch",
    )
    baseline: Literal["group", "others"] = parameter(
        "group", "whether statistics are over the whole group or leave the trajectory itself out"
    )
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    ddof: int = parameter(1, "n − ddof is the denominator of the variance", minimum=0, maximum=1)

    def couples(self, space: Space) -> bool:
        """True if the deviation is that of the batch."""
        return self.norm == "batch" or super().couples(space)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        scores = episode_scores(self, steps)
        episode = episode_term(
            self,
            steps,
            scores,
            norm=self.norm,
            eps=self.eps,
            ddof=self.ddof,
            leave_one_out=self.baseline == "others",
        )
        return {"episode": episode}
