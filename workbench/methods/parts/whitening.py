"""Credit normalised over all trajectories of a training batch."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.log.credit import Peers, Term
from workbench.log.pooling import batch_moments
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
"""verl's whitening, as fields of `Whitened`."""


@dataclass(frozen=True, kw_only=True)
class Whitened(OutcomeMethod, ABC):
    """An outcome method whose last step is a division by a deviation over the whole batch.

    The fields are conventions on which code bases differ; the defaults are the right ones.
    """

    pools_batches: ClassVar[bool] = True

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
        """Inputs of the method, and response tokens where they are counted."""
        tokens = ("response_tokens",) if self.batch_weight == "tokens" else ()
        return (*self.info.needs, *tokens)

    def whitened(
        self, steps: Steps, terms: Mapping[str, tuple[EpisodeScores, Term]]
    ) -> dict[str, Term]:
        """Terms over the deviation of their sum in the batch, and its mean taken off if asked.

            c = Σ_k term_k        A = c / (σ(c) + eps)        or        (c − μ(c)) / (σ(c) + eps)

        μ and σ run over the trajectories of a batch (`Steps.batch`), each with its reward
        unpenalised, or over step rows where the population is another. Where c is the same
        everywhere in a batch, A is exactly 0 there. The mean is a term of its own, "batch".

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

        here = steps.batch
        of = here[at]
        found_in = batch_moments(steps, value, of, weight)
        constant, mean = found_in.constant, found_in.mean
        deviation = found_in.deviation(self.batch_ddof)
        divisor = deviation + self.batch_eps
        if self.batch_eps_on == "variance":
            divisor = np.hypot(deviation, np.sqrt(self.batch_eps))
        scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, divisor))[here]

        def batch_facts(step: int) -> dict[str, Any]:
            own = int(here[step])
            return {"batch": steps.batch_name(own), "batch_std": float(deviation[own])}

        found = {
            name: replace(term, factor=scale * term.factor).with_facts(batch_facts)
            for name, (_, term) in terms.items()
        }
        if not self.recentre:
            return found

        def peers(step: int) -> Peers:
            kept = np.flatnonzero((weight != 0.0) & (of == here[step]))
            member = {"step" if over_rows else "trajectory": kept}
            share = weight[kept] / weight[kept].sum()
            return Peers(**member, weight=share, value=value[kept])

        batch = Term(
            score=np.zeros(len(steps)),
            baseline=mean[here],
            factor=scale,
            peers=peers,
            facts=lambda step: {
                "compared_with": f"the mean of the batch ({steps.batch_name(int(here[step]))})",
                **batch_facts(step),
            },
        )
        return {**found, "batch": batch}
