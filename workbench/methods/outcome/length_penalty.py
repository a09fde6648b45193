"""GRPO on rewards from which a share is taken for length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from workbench.errors import MissingInputError
from workbench.log.credit import Term
from workbench.log.segments import segment_level, segment_sum
from workbench.log.steps import Real, Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.methods.parts.inputs import response_tokens
from workbench.parameters import parameter
from workbench.states.space import Space


@method(
    "length-penalty",
    summary="R′ − mean of R′ over the group, R′ the reward less a share for tokens and turns",
    source="PrimeIntellect-ai/prime-rl",
    traits=("credits-dead-groups", "credits-equal-rewards", "charges-length"),
    dialects=(
        Dialect(
            name="prime-rl",
            source="PrimeIntellect-ai/prime-rl src/prime_rl/orchestrator/algo/grpo.py, linear",
            fields={"input_weight": 0.1},
            traits=("credits-dead-groups", "credits-equal-rewards", "charges-length"),
            golden={"prime_length": Golden(table="prime_rl")},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class LengthPenalty(GroupMethod):
    """Group-relative advantage with a penalty on length that grows with the group's success.

        R′_i = R_i − μ_g · (w_o o_i / max o + w_c c_i / max c + w_t t_i / max t)
        A_i  = R′_i − mean_g R′

    o are the tokens that the policy wrote in trajectory i, c those that it read (all tokens of its
    last prompt and reply less o, over the segments of its context), t its steps; μ is the group's
    mean reward and each max is over the group. Where all succeed the shorter rollout gets more,
    where none does length costs nothing.

    Degenerate cases: equal rewards other than 0 give credit by length alone; a group of one gives
    0, and so does a group without reward.

    **Conventions**: over trajectories that count, self included; no deviation; a quantity that is
    nowhere above 0 is divided by 1.

    **Differs from** prime-rl in the tokens read, which the default leaves out since few logs have
    them (dialect, which asks for prompt_ids and response_ids; exact where no sampled token stands
    in two segments).

    Source: PrimeIntellect-ai/prime-rl, LinearLengthPenaltyConfig.
    """

    output_weight: float = parameter(0.25, "w_o, share for tokens written", minimum=0.0)
    input_weight: float = parameter(0.0, "w_c, share for tokens read", minimum=0.0)
    turns_weight: float = parameter(0.1, "w_t, share for steps", minimum=0.0)

    def needs(self) -> Sequence[str]:
        """The tokens that a weight asks for."""
        written = ("response_tokens",) * (self.output_weight > 0 or self.input_weight > 0)
        read = ("prompt_ids", "response_ids") * (self.input_weight > 0)
        return (*super().needs(), *written, *read)

    def chains(self) -> bool:
        """True where tokens read are charged, which the last prompt of a rollout tells."""
        return self.input_weight > 0 or super().chains()

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term alone."""
        counted = steps.counted[steps.trajectory_start[:-1]]
        group, groups = steps.trajectory_group, steps.groups
        mean, _ = segment_level(steps.episode_reward, group, groups, counted.astype(np.float64))
        share = np.zeros(steps.trajectories)
        amounts = self._amounts(steps)
        for weight, amount in amounts.values():
            most = np.ones(groups)
            np.maximum.at(most, group[counted], amount[counted])
            share += weight * amount / most[group]
        penalty = mean[group] * share
        scores = episode_scores(self, steps, reward=steps.episode_reward - penalty)
        return {
            "episode": episode_term(self, steps, scores, norm="mean").with_facts(
                lambda step: {
                    "length_penalty": float(penalty[steps.trajectory[step]]),
                    **{
                        name: float(amount[steps.trajectory[step]])
                        for name, (_, amount) in amounts.items()
                    },
                }
            )
        }

    def _amounts(self, steps: Steps) -> dict[str, tuple[float, Real]]:
        """Charges: name -> its weight and how much each trajectory has. (N,)."""
        first = steps.trajectory_start[:-1]
        found = {"turns": (self.turns_weight, np.diff(steps.trajectory_start).astype(np.float64))}
        if self.output_weight or self.input_weight:
            written = np.add.reduceat(response_tokens(steps), first)
            found["tokens_written"] = (self.output_weight, written)
        if self.input_weight:
            found["tokens_read"] = (self.input_weight, _sequence_tokens(steps) - written)
        return found


def _sequence_tokens(steps: Steps) -> Real:
    """Tokens of the last prompt and reply of each segment of each trajectory, summed. (N,)."""
    segment = steps.column("segment").fill_null(0).to_numpy()
    changes = (np.diff(segment) != 0) | (np.diff(steps.trajectory) != 0)
    last = np.flatnonzero(np.append(changes, True))
    length = steps.column("prompt_ids").list.len() + steps.column("response_ids").list.len()
    tokens = length.gather(last)
    if tokens.null_count():
        at = int(last[int(tokens.is_null().arg_max() or 0)])
        raise MissingInputError(
            f"prompt_ids and response_ids are not known at {tokens.null_count()} of {len(last)} "
            f"last steps, first at {steps.identity(at)}. Hint: input_weight=0 asks for neither"
        )
    return segment_sum(tokens.to_numpy(), steps.trajectory[last], steps.trajectories)
