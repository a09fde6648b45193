"""Credit normalised over all trajectories of the log."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.segments import segment_constant, segment_mean, segment_std
from workbench.log.steps import Steps
from workbench.methods.parts.fields import OutcomeMethod
from workbench.methods.parts.inputs import response_tokens
from workbench.methods.parts.scores import EpisodeScores
from workbench.parameters import parameter

OVER_TOKENS: Mapping[str, Any] = {
    "batch_weight": "tokens",
    "recentre": True,
    "batch_eps": 1e-8,
    "batch_eps_on": "variance",
}
"""How verl whitens, as fields of `Whitened`."""


@dataclass(frozen=True, kw_only=True)
class Whitened(OutcomeMethod, ABC):
    """An outcome method whose last step is a division by a deviation over the whole log.

    The fields are conventions on which code bases differ; the defaults are the right ones.
    """

    batch_weight: Literal["members", "tokens"] = parameter(
        "members",
        "what counts once in the batch's statistics: a member of the population, or each of its "
        "response tokens",
    )
    recentre: bool = parameter(
        False, "whether the batch's mean is taken off, which gives dead groups credit too"
    )
    batch_ddof: int = parameter(
        1, "n − ddof is the denominator of the batch's variance", minimum=0, maximum=1
    )
    batch_eps: float = parameter(1e-6, "added to the batch's deviation or variance", minimum=0.0)
    batch_eps_on: Literal["deviation", "variance"] = parameter(
        "deviation", "what batch_eps is added to"
    )

    def needs(self) -> Sequence[str]:
        """What the method needs, and response tokens where they are counted."""
        tokens = ("response_tokens",) if self.batch_weight == "tokens" else ()
        return (*self.info.needs, *tokens)

    def whitened(
        self, steps: Steps, terms: Mapping[str, tuple[EpisodeScores, Term]]
    ) -> dict[str, Term]:
        """Terms over the deviation of their sum in the log, and its mean taken off if asked.

            c = Σ_k term_k        A = c / (σ(c) + eps)        or        (c − μ(c)) / (σ(c) + eps)

        μ and σ run over trajectories, each with its reward unpenalised, or over step rows where
        the population is another. Where c is the same everywhere, A is exactly 0. The mean is a
        term of its own, "batch".

        Args:
            steps: The steps.
            terms: Name -> the scores and the term made of them.
        """
        over_rows = self.population != "trajectories"
        first = steps.trajectory_start[:-1]
        at = np.arange(len(steps)) if over_rows else first
        value = np.zeros(len(at))
        for scores, term in terms.values():
            score = scores.score if over_rows else scores.value
            value += term.factor[at] * (score - term.baseline[at])
        weight = steps.counted[at].astype(np.float64)
        if over_rows and self.count_copies:
            weight *= steps.copies
        if self.batch_weight == "tokens":
            tokens = response_tokens(steps)
            weight *= tokens if over_rows else np.add.reduceat(tokens, first)

        whole = np.zeros(len(at), dtype=np.int64)
        constant = bool(segment_constant(value, whole, 1, weight > 0)[0])
        mean = float(segment_mean(value, whole, 1, weight)[0])
        deviation = float(segment_std(value, whole, 1, weight, self.batch_ddof)[0])
        divisor = deviation + self.batch_eps
        if self.batch_eps_on == "variance":
            divisor = float(np.hypot(deviation, np.sqrt(self.batch_eps)))
        scale = 0.0 if constant else 1.0 / divisor

        found = {
            name: replace(term, factor=scale * term.factor).with_facts(
                lambda step: {"batch_std": deviation}
            )
            for name, (_, term) in terms.items()
        }
        if not self.recentre:
            return found

        def peers(step: int) -> Peers:
            kept = np.flatnonzero(weight)
            member = {"step" if over_rows else "trajectory": kept}
            return Peers(**member, weight=weight[kept] / weight.sum(), value=value[kept])

        batch = Term(
            score=np.zeros(len(steps)),
            baseline=np.full(len(steps), mean),
            factor=np.full(len(steps), scale),
            peers=peers,
            facts=lambda step: {
                "compared_with": "the mean of the whole log",
                "batch_std": deviation,
            },
        )
        return {**found, "batch": batch}
