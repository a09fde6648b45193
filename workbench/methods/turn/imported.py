"""Credit that the log brings along: any column of numbers, normalised as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.log.credit import Term, no_peers
from workbench.log.segments import discounted_returns, segment_first
from workbench.log.steps import Real, Steps, Truth
from workbench.methods.base import Method, method
from workbench.methods.parts.anchor import anchor_term
from workbench.parameters import parameter
from workbench.states.space import Space
from workbench.wording import are

_Norm = Literal["none", "group-mean", "group-z", "trajectory-mean", "trajectory-z"]


@method(
    "imported",
    summary="a column of the log, less its mean in the group or the trajectory if asked",
    source="column of the log",
    needs=("logged_advantage",),
    traits=("ignores-rewards",),
)
@dataclass(frozen=True, kw_only=True)
class Imported(Method):
    """A number per step that something else made: a judge, a critic, a scorer, the trainer itself.

        x_t = column_t,  or its discounted sum to the end of the rollout where gamma is given
        A_i = weight · (x_i − mean) / (std + eps)  +  outcome_weight · (R_i − μ_g) / (σ_g + eps)

    Mean and deviation are those of the group's steps ("group-mean", "group-z"), of the rollout's
    ("trajectory-mean", "trajectory-z"), or left out. With the default column it gives the log's own
    advantage, to compare others with. Methods that score steps by a model become a column: HCAPO is
    its Q with group-z and outcome_weight 1; TIPS, TRACE and LOTAPO are their gains with
    gamma; Progress Advantage is its log-ratio as it is.

    Degenerate cases: equal numbers give exactly 0 where a mean is subtracted; a step without a
    number gets 0, enters no mean, and is counted in the notes.

    **Conventions**: over steps, self included; ddof 1; eps 1e-6; the outcome's term over
    trajectories; group of one: against the rollout's own steps.

    **Differs from** each method's own code where that clips or gates: bring the column as it is to
    be used.

    Source: the column.
    """

    column: str = parameter("logged_advantage", "the column; numbers, one per step")
    norm: _Norm = parameter(
        "none", "what the number is compared with: nothing, its group or its trajectory"
    )
    gamma: float | None = parameter(
        None,
        "γ of the sum to the end of the rollout; none: no sum",
        minimum=0.0,
        maximum=1.0,
    )
    weight: float = parameter(1.0, "of the column's term")
    outcome_weight: float = parameter(0.0, "of GRPO's term, added to this one", minimum=0.0)
    eps: float = parameter(1e-6, "added to a deviation", minimum=0.0)

    def needs(self) -> Sequence[str]:
        """The column."""
        return (self.column,)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The column's term, and the outcome's where it has a weight."""
        terms = {"imported": self._imported(steps)}
        if self.outcome_weight:
            terms["episode"] = anchor_term(
                steps.group,
                steps.episode_reward[steps.trajectory],
                segment_first(steps.trajectory, steps.counted),
                norm="std",
                eps=self.eps,
                factor=self.outcome_weight,
            )
        return terms

    def _imported(self, steps: Steps) -> Term:
        number = steps.numbers(self.column)
        there = np.isfinite(number)
        score = np.where(there, number, 0.0)
        if self.gamma is not None:
            score = discounted_returns(score, steps.step_index, self.gamma)
        on = np.where(there, self.weight, 0.0)
        if self.norm == "none":
            zero = np.zeros(len(steps))
            return Term(
                score=score, baseline=zero, factor=on, peers=no_peers, facts=lambda step: {}
            )
        return self._compared(steps, score, there)

    def _compared(self, steps: Steps, score: Real, there: Truth) -> Term:
        of_group = self.norm.startswith("group")
        term = anchor_term(
            steps.group if of_group else steps.trajectory,
            score,
            (there & steps.counted).astype(np.float64) if of_group else there.astype(np.float64),
            norm="std" if self.norm.endswith("z") else "mean",
            eps=self.eps,
            factor=self.weight,
        )
        return Term(
            score=term.score,
            baseline=term.baseline,
            factor=np.where(there, term.factor, 0.0),
            peers=term.peers,
            facts=term.facts,
        )

    def notes(self, steps: Steps) -> Sequence[str]:
        """Note on the number of steps without a number."""
        missing = int((~np.isfinite(steps.numbers(self.column))).sum())
        lack = are(missing, "step", "have")
        return (f"{lack} no {self.column}, which counts as 0",) if missing else ()
