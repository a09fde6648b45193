"""C3: an action against the other actions that were tried in exactly the same context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from workbench.log.credit import Peers, Term, no_peers
from workbench.log.segments import (
    difference,
    segment_constant,
    segment_first,
    segment_level,
    segment_mean,
    segment_sum,
)
from workbench.log.steps import Index, Real, Steps
from workbench.methods.base import Dialect, Method, method
from workbench.methods.parts.inputs import of_steps, replay_means
from workbench.parameters import parameter
from workbench.states.keys import labels
from workbench.states.space import Space
from workbench.wording import of_all


@method(
    "c3",
    summary="mean return of the action − mean of the other actions tried in the same context",
    source="arXiv 2603.06859",
    needs=("keys", "node_id"),
    dialects=(
        Dialect(
            name="reference",
            source="EIT-EAST-Lab/C3 c3/credit, experience_maker, credit_variant reward_only",
            fields={"weight": "actions", "norm": "std"},
        ),
        Dialect(
            name="value-assisted",
            source="EIT-EAST-Lab/C3 c3/credit, experience_maker, as its scripts leave it",
            fields={"weight": "actions", "norm": "std", "signal": "assisted"},
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class C3(Method):
    """Contextual counterfactual credit: the context is held fixed, the action replaced.

        R_j = mean return of action j
        A_j = R_j − Σ_{k≠j} w_k b_k / Σ_{k≠j} w_k        over the actions k of the same context
        b_k = R_k,  or with signal = assisted  (1 − α) R_k + α Q_k,  or with value  Q_k, as R_j then

    A context is a node's parent, with the same role and the same state (the observation, or the
    logged state_key): what was said before is equal word for word. An action's returns are its
    replay_returns where the log has them (those of its first step, since the rollouts that share a
    node share its replays), else the outcomes of the rollouts below its node; w_k is how many there
    are. A log of plain rollouts gets its nodes from shared prefixes (`workbench import --tree`):
    its contexts are the pseudo-buckets of the paper, most of them at the first step.

    Degenerate cases: a context with one action gives 0; equal returns give exactly 0.

    **Conventions**: leave one action out; weighted by returns; no deviation; an action counts once
    however many rollouts took it. With norm = std: over sqrt(var + eps) of the advantages of the
    context, ddof 0, eps 1e-8.

    With a critic's values the mean of the context's advantages is taken off before dividing.

    **Differs from** the released code, which weights actions alike and then divides by the
    deviation, after which leaving one out changes nothing (dialect `reference`). What its scripts
    run compares returns with the critic's values of the other actions, α 1 (dialect
    `value-assisted`, which asks for critic_value_action).

    Source: Chen et al., arXiv 2603.06859.
    """

    baseline: Literal["others", "all"] = parameter(
        "others", "whether an action is in its own baseline"
    )
    weight: Literal["returns", "actions"] = parameter(
        "returns", "whether an action counts as often as it has returns, or once"
    )
    norm: Literal["none", "std"] = parameter(
        "none", "whether to divide by the deviation of the context's advantages"
    )
    eps: float = parameter(1e-8, "added to the variance", minimum=0.0)
    signal: Literal["returns", "assisted", "value"] = parameter(
        "returns",
        "what is compared: returns; returns with a critic's values of the other actions; or values",
    )
    value_share: float = parameter(
        1.0,
        "α, how much of the others' return their value stands for, where assisted",
        minimum=0.0,
        maximum=1.0,
    )

    def needs(self) -> Sequence[str]:
        """Keys and nodes; the critic's values where they are compared."""
        return (*super().needs(), *("critic_value_action",) * (self.signal != "returns"))

    def remarks(self, steps: Steps, columns: Mapping[str, Real]) -> Sequence[str]:
        """Number of steps that have a counterfactual."""
        covered = int((columns["other_actions"] > 0).sum())
        credited = int((columns["term_step"] != 0.0).sum())
        return [
            f"{of_all(covered, len(steps), 'step', 'have')} a counterfactual, another action that "
            f"was tried in the same context, and {credited:,} of them credit: the others came to "
            "the same; every other step gets 0"
        ]

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The action against the others."""
        tree = space.tree
        context = labels(
            steps,
            tree.parent[tree.node],
            steps.column("role"),
            space.state_key(),
        )
        score, returns = _node_returns(steps, space)
        contexts = int(context.max()) + 1
        action = labels(steps, context, tree.node)
        once = segment_first(action, steps.counted)
        if self.signal != "returns":
            logged = of_steps(steps, "critic_value_action")
            value = segment_level(logged, action, int(action.max()) + 1)[0][action]
            score = value if self.signal == "value" else score
        compared = score
        if self.signal == "assisted":
            compared = (1.0 - self.value_share) * score + self.value_share * value
        weight = once * (returns if self.weight == "returns" else 1.0)
        own = np.zeros(len(steps))
        if self.baseline == "others":
            own = segment_sum(weight, action, int(action.max()) + 1)[action]
        rest = segment_sum(weight, context, contexts)[context] - own
        total = segment_sum(weight * compared, context, contexts)[context] - own * compared
        baseline = np.where(rest > 0, total / np.where(rest > 0, rest, 1.0), score)
        constant = segment_constant(compared, context, contexts, weight > 0)[context]
        inside = (segment_sum(once, action, int(action.max()) + 1)[action] > 0) & (
            score == compared
        )
        equal = (difference(score, baseline) == 0.0) | (constant & inside)
        baseline = np.where(equal, score, baseline)
        factor = np.ones(len(steps))
        if self.norm == "std":
            middle, factor = self._scale(score - baseline, context, once)
            if self.signal != "returns":
                baseline = baseline + middle
        tried = (weight > 0).astype(np.float64)
        actions = segment_sum(tried, context, contexts)[context]
        itself = segment_sum(tried, action, int(action.max()) + 1)[action]

        def facts(step: int) -> dict[str, Any]:
            members = (context == context[step]) & (once > 0)
            own = {"returns": float(returns[step]), "actions_in_context": int(members.sum())}
            return own | ({} if self.signal == "returns" else {"critic_value": float(value[step])})

        def peers(step: int) -> Peers:
            if self.signal != "returns":
                return no_peers(step)
            others = (context == context[step]) & (weight > 0)
            if self.baseline == "others":
                others &= action != action[step]
            members = np.flatnonzero(others)
            share = weight[members] / (weight[members].sum() or 1.0)
            return Peers(step=members, weight=share, value=score[members])

        return {
            "step": Term(
                score=score,
                baseline=baseline,
                factor=factor,
                peers=peers,
                facts=facts,
                outputs={"other_actions": actions - itself},
                compared_with="a critic's values of the other actions of the context",
            )
        }

    def _scale(self, gain: Real, context: Index, once: Real) -> tuple[Real, Real]:
        """Mean of each context's advantages, and one over their deviation. (S,), (S,)."""
        contexts = int(context.max()) + 1
        constant = segment_constant(gain, context, contexts, once > 0)[context]
        mean = segment_mean(gain, context, contexts, once)[context]
        variance = segment_mean((gain - mean) ** 2, context, contexts, once)[context]
        scale = 1.0 / np.sqrt(np.where(constant, 1.0, variance + self.eps))
        return mean, np.where(constant, 0.0, scale)


def _node_returns(steps: Steps, space: Space) -> tuple[Real, Real]:
    """Mean return of each step's node, and how many returns it has. (S,), (S,)."""
    tree = space.tree
    nodes = len(tree.parent)
    mean, count = replay_means(steps)
    first = segment_first(tree.node, steps.counted & (count > 0))
    replays = segment_sum(first * count, tree.node, nodes)
    of_replays = segment_sum(first * mean, tree.node, nodes)
    value = np.where(replays > 0, of_replays, tree.value())
    returns = np.where(replays > 0, replays, tree.rollouts)
    return value[tree.node], returns[tree.node]
