"""GiGPO: the group's credit plus a comparison among steps in the same state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from workbench.log.credit import Term
from workbench.log.steps import Index, Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, StateKeyed, StepMethod
from workbench.parameters import parameter
from workbench.states.space import Space

_ROWS = {"population": "steps", "count_copies": True}
_VERL_AGENT = "langfengQ/verl-agent gigpo/core_gigpo.py"


def _first_fit(threshold: float) -> dict[str, str]:
    return {"state_key": f"first-fit:threshold={threshold}"}


def _with_parts(prefix: str, norm: str, **params: float) -> dict[str, Golden]:
    """The golden columns of an advantage and of its two terms."""
    fields = {"norm": norm, **params}
    return {
        prefix: Golden(params=fields),
        f"{prefix}__episode": Golden(params=fields, term="episode"),
        f"{prefix}__step": Golden(params=fields, term="step"),
    }


@method(
    "gigpo",
    summary="GRPO's term + ω · (G − mean of G over the group's steps with the same observation)",
    source="arXiv 2505.10978",
    needs=("keys",),
    dialects=(
        Dialect(
            name="verl-agent",
            invalid_penalty=0.1,
            source=_VERL_AGENT,
            fields={"norm": "mean", "group_of_one": "raw", **_ROWS},
            traits=("steps-population", "counts-copies", "raw-group-of-one"),
            golden={
                **_with_parts("gigpo_mean", "mean"),
                **_with_parts("gigpo_std", "std"),
                "gigpo_group": Golden(output="anchor_group"),
            },
        ),
        Dialect(
            name="verl-agent-similarity",
            invalid_penalty=0.1,
            source=f"{_VERL_AGENT}, enable_similarity=True",
            fields={"norm": "mean", "group_of_one": "raw", **_ROWS, **_first_fit(0.95)},
            traits=("steps-population", "counts-copies", "raw-group-of-one", "row-order"),
            golden={
                "gigpo_sim95_mean": Golden(),
                "gigpo_sim95_mean__step": Golden(term="step"),
                "gigpo_sim95_group": Golden(output="anchor_group"),
                "gigpo_sim80_mean": Golden(params=_first_fit(0.8)),
                "gigpo_sim80_mean__step": Golden(params=_first_fit(0.8), term="step"),
                "gigpo_sim80_group": Golden(params=_first_fit(0.8), output="anchor_group"),
            },
        ),
        Dialect(
            name="roll",
            source="alibaba/ROLL roll/pipeline/agentic/utils.py",
            fields={"across_groups": True, **_ROWS},
            traits=("steps-population", "counts-copies", "couples-groups", "credits-dead-groups"),
            golden={
                **_with_parts("roll_gigpo_mean", "mean", invalid_penalty=0.0),
                **_with_parts("roll_gigpo_std", "std", invalid_penalty=0.0),
                "roll_step_return": Golden(params={"invalid_penalty": 0.0}, output="step_score"),
            },
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GiGPO(StepMethod, StateKeyed, GroupMethod):
    """Group-in-group advantage: an episode term and a term among equal states.

        G_t = r_t + γ G_{t+1}
        A_i = (R_i − μ_g)/(σ_g + eps) + ω · (G_i − mean_a G)/(std_a G + eps)

    The anchor group a of a step is all steps of its group in the same state under `state_key`, at
    any time and in any trajectory, itself included. With `norm="mean"` neither term is divided.

    Degenerate cases: a step that is alone in its anchor group has a step term of 0, so where no
    observation repeats GiGPO is GRPO; equal returns in an anchor group give exactly 0.

    **Conventions**: episode statistics over trajectories; ddof 1 in both terms; eps 1e-6; self
    included; group of one 0.

    **Differs from** verl-agent, whose episode statistics run over step rows, duplicates included,
    and which divides rounding noise by eps where returns are equal (dialect, the noise left out);
    its similarity mode clusters greedily in the order of the rows (dialect), where any state key
    here does without. ROLL takes equal observations of different tasks for one state (dialect,
    `across_groups`), and leaves a group at 0 whose deviation is below 1e-6.

    Source: Feng et al., arXiv 2505.10978, equations 3 to 8.
    """

    norm: Literal["std", "mean"] = parameter(
        "std", "whether both terms are divided by their deviations"
    )

    across_groups: bool = parameter(
        False, "whether steps of the batch's other groups in the same state are in the anchor group"
    )

    def _anchor(self, space: Space) -> Index:
        """Anchor group of each step. (S,) int64."""
        if self.across_groups:
            return space.state_key_of_batch(self.state_key)
        return space.state_key(self.state_key)

    def couples(self, space: Space) -> bool:
        """True if anchor groups cross the groups of the batch."""
        return self.across_groups or super().couples(space)

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the step term."""
        scores = episode_scores(self, steps)
        anchor = self._anchor(space)
        score = self.step_score(steps)
        step = anchor_term(
            anchor,
            score,
            self.peer_weight(steps),
            norm=self.norm,
            eps=self.eps,
            factor=self.step_weight,
        )
        if self.across_groups:
            step = step.with_facts(
                lambda number: {"batch": steps.batch_name(int(steps.batch[number]))}
            )
        unit = steps.batch if self.across_groups else steps.group
        first = np.full(int(unit.max()) + 1, len(steps))
        np.minimum.at(first, unit, anchor)
        # Numbered inside what is compared, so that other groups of the log change nothing.
        outputs = {"anchor_group": (anchor - first[unit]).astype(np.float64), "step_score": score}
        return {
            "episode": episode_term(self, steps, scores, norm=self.norm, eps=self.eps),
            "step": replace(step, outputs=outputs),
        }
