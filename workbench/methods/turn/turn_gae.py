"""Generalised advantage estimation over turns, with a critic's values from the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.log.credit import Term, no_peers
from workbench.log.pooling import batch_moments
from workbench.log.segments import backward_sums, td_errors
from workbench.log.steps import Real, Steps
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.inputs import of_steps
from workbench.parameters import parameter
from workbench.states.space import Space

_HIPER, _RAGEN = "turn_gae_hiper", "turn_gae_ragen_tokens"
_SHORT, _LONG = {"gamma": 0.95, "lam": 0.9}, {"gamma": 0.9, "lam": 0.95}
"""γ and λ of the golden tables, which are not those that the trainers ship."""


@method(
    "turn-gae",
    summary="Σ (γλ)^k δ over the turns that are left, δ = r + γ V(next) − V, V a logged critic's",
    source="arXiv 1506.02438",
    needs=("critic_value",),
    dialects=(
        Dialect(
            name="hiper",
            invalid_penalty=0.1,
            source="JonP07/HiPER-agent verl/trainer/ppo/core_algos.py",
            fields={"gamma": 1.0, "lam": 1.0, "whiten": True},
            traits=("couples-groups",),
            golden={
                "hiper_turn_gae": Golden(params=_SHORT, table=_HIPER),
                "hiper_return": Golden(params=_SHORT, output="value_target", table=_HIPER),
                "turn_gae_raw": Golden(params=_SHORT | {"whiten": False}, table=_HIPER),
            },
        ),
        Dialect(
            name="ragen",
            source="mll-lab-nu/RAGEN ragen/trainer/core_algos.py, config/base.yaml",
            fields={
                "turns": "rewards",
                "gamma": 0.95,
                "lam": 1.0,
                "token_gamma": 1.0,
                "whiten": True,
            },
            traits=("couples-groups",),
            golden={
                "ragen_bilevel_adv": Golden(params=_LONG, table=_RAGEN),
                "ragen_bilevel_return": Golden(params=_LONG, output="value_target", table=_RAGEN),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class TurnGAE(Method):
    """GAE whose unit is the turn: what PPO trains on where a critic's values were logged.

        δ_t = r_t + γ V(s_{t+1}) − V(s_t)                V after the last step is 0
        A_t = δ_t + γ λ A_{t+1}

    With `turns="rewards"` rows are tokens, a turn ends where the reward is not 0, and there are two
    levels: A of the turns' last tokens as above, then inside a turn with token_gamma in γ's place
    and the turn's A + V as the reward of its last token.

    Degenerate cases: a last turn without reward ends with its trajectory. With `whiten`, equal
    advantages give exactly 0.

    **Conventions**: no statistics of the group; γ .95, λ .95; whitening is off: over all steps of
    the batch that count, each once, with ddof 1 and 1e-8 on the variance.

    **Differs from** HiPER, which whitens over the batch, and from RAGEN, which finds turns by their
    reward and whitens over tokens (dialects, with the γ and λ of their configurations: 1 and 1, and
    .95 and 1; RAGEN's leaves `bi_level_gae` off until it is asked for).

    Source: Schulman et al., arXiv 1506.02438; HiPER, arXiv 2602.16165; RAGEN, arXiv 2504.20073.
    """

    pools_batches: ClassVar[bool] = True

    gamma: float = parameter(0.95, "γ, discount per turn", minimum=0.0, maximum=1.0)
    lam: float = parameter(0.95, "λ, weight of longer sums", minimum=0.0, maximum=1.0)
    whiten: bool = parameter(
        False, "whether advantages are standardised over all steps of the batch"
    )
    turns: Literal["steps", "rewards"] = parameter(
        "steps", "whether each step is a turn, or one ends where the reward is not 0"
    )
    token_gamma: float = parameter(
        1.0, "γ inside a turn, where turns end at rewards", minimum=0.0, maximum=1.0
    )

    def couples(self, space: Space) -> bool:
        """True where advantages are standardised over the batch."""
        return self.whiten or super().couples(space)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The sum of what the rewards were beyond the critic's values."""
        value = of_steps(steps, "critic_value")
        target = self._target(steps, value)
        baseline, factor = value, np.ones(len(steps))
        mean = variance = np.zeros(steps.batches)
        if self.whiten:
            weight = steps.counted.astype(np.float64)
            found_in = batch_moments(steps, target - value, steps.batch, weight)
            level, mean = found_in.constant, found_in.level
            variance = np.where(level, 0.0, found_in.variance(1))
            scale = np.where(level, 0.0, 1 / np.sqrt(np.where(level, 1.0, variance + 1e-8)))
            baseline, factor = value + mean[steps.batch], scale[steps.batch]

        def found(step: int) -> dict[str, Any]:
            batch = int(steps.batch[step])
            of_batch = {
                "batch": steps.batch_name(batch),
                "mean_of_all": float(mean[batch]),
                "variance_of_all": float(variance[batch]),
            }
            own = {"critic_value": float(value[step])}
            return own | of_batch if self.whiten else own

        return {
            "turn": Term(
                score=target,
                baseline=baseline,
                factor=factor,
                peers=no_peers,
                facts=found,
                outputs={"value_target": target},
                compared_with="critic's value" + " and the mean of the batch" * self.whiten,
            )
        }

    def _target(self, steps: Steps, value: Real) -> Real:
        """A + V before whitening, which the critic would be trained on. (S,) float64."""
        index, trajectory = steps.step_index, steps.trajectory
        if self.turns == "steps":
            gain = td_errors(steps.reward, value, index, self.gamma)
            return value + backward_sums(gain, self.gamma * self.lam, index)
        ends = np.flatnonzero(steps.reward != 0)
        target = steps.reward.copy()
        if len(ends):
            new = np.concatenate([[True], trajectory[ends][1:] != trajectory[ends][:-1]])
            turn = np.arange(len(ends)) - np.maximum.accumulate(
                np.where(new, np.arange(len(ends)), 0)
            )
            gain = td_errors(steps.reward[ends], value[ends], turn, self.gamma)
            target[ends] = value[ends] + backward_sums(gain, self.gamma * self.lam, turn)
        inside = np.ones(len(value), dtype=bool)
        inside[ends] = False
        gain = np.where(inside, td_errors(target, value, index, self.token_gamma), target - value)
        carry = np.where(inside, self.token_gamma * self.lam, 0.0)
        return value + backward_sums(gain, carry, index)
