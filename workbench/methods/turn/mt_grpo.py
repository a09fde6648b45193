"""MT-GRPO: the outcome's advantage, and the turn reward's up to the turn that earned it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from workbench.log.credit import Term
from workbench.log.segments import segment_first, segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.anchor import anchor_term
from workbench.parameters import parameter
from workbench.states.space import Space

_TABLE = "turn_mtgrpo"


@method(
    "mt-grpo",
    summary="GRPO's term of R + w · GRPO's term of the turn reward, up to the turn that earned it",
    source="arXiv 2505.11821",
    chains=True,
    needs=("turn_reward",),
    dialects=(
        Dialect(
            name="reference",
            source="SiliangZeng/Multi-Turn-RL-Agent verifiers/trainers/mt_grpo_env_trainer.py",
            fields={"eps": 1e-4, "result_text": "<result>"},
            golden={
                "adv": Golden(table=_TABLE),
                "adv_turn": Golden(output="turn_advantage", table=_TABLE),
                "adv_outcome": Golden(output="outcome_advantage", table=_TABLE),
                "adv_combined": Golden(output="combined_advantage", table=_TABLE),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class MTGRPO(Method):
    """Two rewards of a rollout, one for its result and one for the turn that fetched it.

        T_i = sum of the rollout's turn_reward        z(x) = (x − mean) / (std + eps) in the group
        A_i = z(R) + w · z(T)       up to the turn that earned T
        A_i = z(R)                  after it
        A_i = z(R + T)              at every step of a rollout without such a turn

    The turn that earned T is the last step with a turn_reward, or, where `result_text` is given,
    the first step whose answer of the environment contains it.

    Degenerate cases: equal rewards of a group give that term exactly 0; a rollout without any
    turn_reward has T = 0.

    **Conventions**: over trajectories, self included; ddof 1; eps 1e-6; group of one 0.

    **Differs from** the released code in eps, and in that it finds the turn by the text of a tool's
    reply (dialect).

    Source: Zeng et al., arXiv 2505.11821.
    """

    turn_weight: float = parameter(1.0, "w, weight of the turn's term", minimum=0.0)
    eps: float = parameter(1e-6, "added to the deviation", minimum=0.0)
    result_text: str | None = parameter(
        None, "text in the environment's answer that marks the turn; none takes turn_reward's place"
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The outcome's, the turn's and the combined term; each is off where it does not apply."""
        until = self._result_step(steps)[steps.trajectory]
        with_result, before = until >= 0, steps.step_index <= until
        outcome, turn, combined = self._standardised(steps)
        return {
            "outcome": _switched("outcome_advantage", outcome, with_result, 1.0),
            "turn": _switched("turn_advantage", turn, before, self.turn_weight),
            "combined": _switched("combined_advantage", combined, ~with_result, 1.0),
        }

    def _standardised(self, steps: Steps) -> tuple[Term, Term, Term]:
        trajectory = steps.trajectory
        turn = segment_sum(
            steps.numbers("turn_reward", missing=0.0), trajectory, steps.trajectories
        )
        once = segment_first(trajectory, steps.counted)

        def standardised(reward: Real) -> Term:
            return anchor_term(
                steps.group, reward[trajectory], once, norm="std", eps=self.eps, factor=1.0
            )

        reward = steps.episode_reward
        return standardised(reward), standardised(turn), standardised(reward + turn)

    def _result_step(self, steps: Steps) -> Index:
        """The turn that earned each rollout's turn reward; -1 without one. (N,) int64."""
        if self.result_text is None:
            there = steps.column("turn_reward").is_not_null().to_numpy()
            wanted = pl.col("step").max()
        else:
            answer = steps.column("next_observation").fill_null("")
            there = answer.str.contains(self.result_text, literal=True).to_numpy()
            wanted = pl.col("step").min()
        frame = pl.DataFrame({"trajectory": steps.trajectory, "step": steps.step_index})
        found = frame.filter(pl.Series(there)).group_by("trajectory").agg(wanted)
        result = np.full(steps.trajectories, -1, dtype=np.int64)
        result[found["trajectory"].to_numpy()] = found["step"].to_numpy()
        return result


def _switched(output: str, term: Term, on: Truth, weight: float) -> Term:
    """The term where it applies; as an output, undiminished everywhere."""
    factor = np.where(on, weight * term.factor, 0.0)
    return replace(term, factor=factor, outputs={output: term.value})
