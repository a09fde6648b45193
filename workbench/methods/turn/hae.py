"""HAE: advantages of subgoals, of the actions under them, and of keeping or giving them up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np

from workbench.log.credit import Term, no_peers
from workbench.log.pooling import batch_moments
from workbench.log.segments import backward_sums
from workbench.log.steps import Real, Steps, Truth
from workbench.methods.base import Dialect, Golden, Method, method
from workbench.methods.parts.inputs import of_steps
from workbench.methods.parts.subgoals import Plan
from workbench.methods.parts.transitions import last_steps
from workbench.parameters import parameter
from workbench.states.space import Space

_SCRIPTS = "JonP07/HiPER-agent hiper_hae/core_hae.py, example_scripts/HiPER_trainer/run_"
_TERMS = {"action": "low", "subgoal": "high", "switch": "term"}


_SHIPPED = {"invalid_penalty": 0.1}
_PLAIN = {"whiten": False, "change_penalty": 0.0}
_RAW = _PLAIN | {"keep_penalty": 0.0, "gamma": 0.95, "lam": 0.9, "lam_subgoal": 0.8}
_FIXED = _PLAIN | {
    "keep_penalty": 0.25,
    "keep_penalty_mode": "fixed",
    "truncated_as": "bootstrap",
    "gamma": 0.9,
    "lam": 0.95,
    "lam_subgoal": 0.9,
}


def _golden(run: str, own: Mapping[str, Any]) -> dict[str, Golden]:
    """Numbers of the original in one of its runs: three advantages, three targets of critics."""
    golden = {}
    for ours, theirs in _TERMS.items():
        golden[f"{run}_advantage_{theirs}"] = Golden(params=own, term=ours, table="turn_hae")
        output = f"{ours}_value_target"
        golden[f"{run}_return_{theirs}"] = Golden(params=own, output=output, table="turn_hae")
    return golden


@method(
    "hae",
    summary="GAE of a subgoal's actions + GAE over subgoals where one begins + that of keeping it",
    source="arXiv 2602.16165",
    needs=("critic_value_low", "critic_value_high"),
    dialects=(
        Dialect(
            name="hiper-alfworld",
            invalid_penalty=0.1,
            source=f"{_SCRIPTS}alfworld.sh",
            fields={
                "whiten": True,
                "keep_penalty": 0.3,
                "change_penalty": 0.3,
                "truncated_as": "bootstrap",
            },
            traits=("couples-groups", "mixed-scale"),
            golden=_golden("alfworld", _SHIPPED),
        ),
        Dialect(
            name="hiper-webshop",
            invalid_penalty=0.1,
            source=f"{_SCRIPTS}webshop.sh",
            fields={
                "whiten": True,
                "keep_penalty": 3.5,
                "change_penalty": 0.3,
            },
            traits=("couples-groups", "mixed-scale"),
            golden=_golden("webshop", _SHIPPED) | _golden("raw", _RAW) | _golden("fixed", _FIXED),
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class HAE(Method):
    """Hierarchical advantage estimation: subgoals are decisions that last for several steps.

    A trajectory is cut where a step begins a new subgoal. V_low is a critic's value once the
    subgoal is chosen, V_high before one is, V_switch before it is decided whether to keep it.

        δ_t = r_t + γ V′ − V_low(t)               V′ = V_low(t + 1), at the end of a subgoal
                                                  V_high(t + 1), at the end of the rollout 0
        A^action_t  = δ_t + γ λ A^action_{t+1}    up to the end of the subgoal
        T_t = r_t + γ T_{t+1}                     T_{t+1} = V_high(t + 1) at the end of a subgoal
        A^subgoal_k = T_k − V_high(k) + γ^d λ_s A^subgoal_{k+d}      d steps from start to start
        A^switch_t  = T_t − V_switch(t)
        A_t = A^action_t + A^switch_t, and + A^subgoal_t where t begins a subgoal

    A step begins a subgoal where `new_subgoal` of the log says so; in a rollout of which that is
    not logged, where `<switch>` of its action holds another word than KEEP, and then the terms of
    subgoal and switch are those of steps whose action has the tags `<subgoal>` and `<switch>`.

    Degenerate cases: the first step of a rollout always begins a subgoal; with `whiten`, equal
    advantages of a term give exactly 0; a log that has neither new_subgoal nor a `<switch>` is
    refused, and so is, in parts, one of which a part has neither.

    **Conventions**: no statistics of the group; γ 1, λ 1, λ_s .95, undivided. With `whiten` each
    term is standardised over the steps of the batch that have it and count, ddof 0, 1e-8 on the
    deviation. Penalties are off, in units of reward: `keep_penalty` / length off each step that
    keeps, `change_penalty` off one that keeps and yet words its subgoal otherwise.

    **Differs from** the released code in where the numbers go: it gives each term to its own
    tokens of a reply (action, subgoal, switch), here a step has their sum, and the terms are
    columns of the credit. It compares subgoals as tokens, here they are compared as text. The paper
    has two levels; the switch is the code's, and `switch_term=false` leaves it out. Its scripts
    whiten and penalise (dialects).

    Source: Peng et al., arXiv 2602.16165; JonP07/HiPER-agent.
    """

    pools_batches: ClassVar[bool] = True

    gamma: float = parameter(1.0, "γ, discount per step", minimum=0.0, maximum=1.0)
    lam: float = parameter(1.0, "λ, weight of longer sums in a subgoal", minimum=0.0, maximum=1.0)
    lam_subgoal: float = parameter(
        0.95, "λ_s, weight of longer sums over subgoals", minimum=0.0, maximum=1.0
    )
    switch_term: bool = parameter(True, "whether keeping or giving up a subgoal gets credit")
    whiten: bool = parameter(False, "whether each term is standardised over its steps of the batch")
    truncated_as: Literal["failure", "bootstrap"] = parameter(
        "failure",
        "what follows a trajectory that a limit cut off: nothing, or once more the critics' values",
    )
    keep_penalty: float = parameter(
        0.0, "taken off the rewards of a trajectory that always keeps its subgoal", minimum=0.0
    )
    keep_penalty_mode: Literal["normalized", "fixed"] = parameter(
        "normalized", "whether a step that keeps pays the penalty over the length, or all of it"
    )
    change_penalty: float = parameter(
        0.0, "taken off a step that keeps its subgoal but rewords it", minimum=0.0
    )
    invalid_penalty: float = parameter(
        0.0, "taken off the reward of a step with an invalid action", minimum=0.0
    )

    def needs(self) -> Sequence[str]:
        """The critics' values that the terms compare with."""
        return (*super().needs(), *("critic_value_switch",) * self.switch_term)

    def couples(self, space: Space) -> bool:
        """True where advantages are standardised over the batch."""
        return self.whiten or super().couples(space)

    def notes(self, steps: Steps) -> Sequence[str]:
        """Note that one number per step stands for the original's parts of a reply."""
        return [
            "HiPER gives each term to its own tokens of a reply (action, subgoal, switch); here a "
            "step has their sum, and the terms are columns of the credit"
        ]

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The action's term, the subgoal's, and the switch's if asked."""
        plan = Plan.of(steps)
        begins = plan.new | (steps.step_index == 0)
        ends = np.append(begins[1:], True)
        low = of_steps(steps, "critic_value_low")
        high = of_steps(steps, "critic_value_high", begins)
        reward = self._reward(steps, plan)

        follows, own = np.append(high[1:], 0.0), high[np.flatnonzero(begins)][begins.cumsum() - 1]
        after = np.where(last_steps(steps), self._cut(steps, own), follows)
        after_action = np.where(last_steps(steps), self._cut(steps, low), follows)
        inside = np.where(ends, 0.0, self.gamma)
        ahead = np.where(ends, after_action, np.append(low[1:], 0.0))
        action = low + backward_sums(
            reward + self.gamma * ahead - low, inside * self.lam, steps.step_index
        )
        target = backward_sums(
            reward + np.where(ends, self.gamma * after, 0.0), inside, steps.step_index
        )
        subgoal = self._over_subgoals(steps, target, high, begins)
        levels = {
            "action": _Level(action, low, np.ones(len(steps), dtype=bool)),
            "subgoal": _Level(subgoal, high, begins & plan.has_subgoal),
        }
        if self.switch_term:
            switch = of_steps(steps, "critic_value_switch", plan.has_switch)
            levels["switch"] = _Level(target, switch, plan.has_switch)
        began = steps.step_index[np.flatnonzero(begins)][begins.cumsum() - 1]
        return {
            name: self._term(steps, name, level).with_facts(
                lambda step: {"subgoal_began_at": int(began[step])}
            )
            for name, level in levels.items()
        }

    def _reward(self, steps: Steps, plan: Plan) -> Real:
        """Rewards less the penalties of invalid actions, kept and reworded subgoals. (S,)."""
        length = np.diff(steps.trajectory_start)[steps.trajectory]
        share = np.where(length > 1, 1.0 / length, 0.0)
        if self.keep_penalty_mode == "fixed":
            share = np.ones(len(steps))
        return np.asarray(
            steps.reward
            - self.keep_penalty * share * ~plan.new
            - self.change_penalty * plan.reworded
            - self.invalid_penalty * steps.invalid_action
        )

    def _cut(self, steps: Steps, value: Real) -> Real:
        """The worth of what comes after the last step, by the value there. (S,)."""
        if self.truncated_as == "failure":
            return np.zeros(len(steps))
        return np.where(steps.column("truncated").fill_null(value=False).to_numpy(), value, 0.0)

    def _over_subgoals(self, steps: Steps, target: Real, high: Real, begins: Truth) -> Real:
        """A + V_high where a subgoal begins, 0 elsewhere. (S,)."""
        first = np.flatnonzero(begins)
        length = np.diff(np.append(first, len(steps)))
        number = np.arange(len(first))
        start = np.maximum.accumulate(np.where(steps.step_index[first] == 0, number, 0))
        carry = self.gamma**length * self.lam_subgoal
        found = np.zeros(len(steps))
        gain = backward_sums(target[first] - high[first], carry, number - start)
        found[first] = high[first] + gain
        return found

    def _term(self, steps: Steps, name: str, level: _Level) -> Term:
        """Target less value at the steps that have the term, standardised if asked."""
        target, value, where = level
        baseline, factor = value, where.astype(np.float64)
        mean = deviation = np.zeros(steps.batches)
        if self.whiten:
            weight = factor * steps.counted
            found_in = batch_moments(steps, target - value, steps.batch, weight)
            equal, mean, deviation = found_in.constant, found_in.level, found_in.deviation(0)
            scale = np.where(equal, 0.0, 1.0 / np.where(equal, 1.0, deviation + 1e-8))
            baseline, factor = value + mean[steps.batch], factor * scale[steps.batch]

        def found(step: int) -> dict[str, Any]:
            batch = int(steps.batch[step])
            of_batch = {
                "batch": steps.batch_name(batch),
                "mean_of_all": float(mean[batch]),
                "std_of_all": float(deviation[batch]),
            }
            own = {"critic_value": float(value[step]), "has_term": bool(where[step])}
            return own | of_batch if self.whiten else own

        return Term(
            score=target,
            baseline=baseline,
            factor=factor,
            peers=no_peers,
            facts=found,
            outputs={f"{name}_value_target": target},
            compared_with="critic's value" + " and the mean of the batch" * self.whiten,
        )


class _Level(NamedTuple):
    """Parts of a term: A + V, V, and the steps that have the term. (S,) each."""

    target: Real
    value: Real
    where: Truth
