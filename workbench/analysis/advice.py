"""Advice: the credit to train with on a log, why, and how sure that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis import evidence
from workbench.analysis.audit.agreement import closest_to_logged
from workbench.analysis.audit.subject import AuditedLog
from workbench.log.facts import Facts, facts
from workbench.log.policies import policies_of
from workbench.log.remarks import of_log
from workbench.log.segments import discounted_returns
from workbench.methods import METHODS, create
from workbench.methods.parts.history import means_of_others
from workbench.states.space import Space
from workbench.wording import number_of

ENOUGH = 16
"""Rollouts that a value of histories is fitted to at least; there is no credit from fewer."""

_OF_HISTORY = "history-gae"
_CUT = 0.2  # share of rollouts that a limit cut off, from which on it is worth a thought


@dataclass(frozen=True, kw_only=True)
class Line:
    """A piece of evidence: something about the log, in words and in numbers."""

    about: str
    text: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The credit to train with.

    Args:
        credit: Name of the method; None where no credit has anything to teach.
        why: Why this one.
        sure: How sure that is, and from what.
        first: What to do before training, most important first.
        evidence: What of this log it rests on.
    """

    credit: str | None
    why: str
    sure: str
    first: Sequence[str]
    evidence: Sequence[Line]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return dataclasses.asdict(self)

    def headline(self) -> str:
        """The advice in one sentence."""
        if self.credit is None:
            return "Do not train on this log yet."
        return f"Train with {self.credit}: {METHODS[self.credit].summary}."


def advise(space: Space, *, convention: bool = True) -> Advice:
    """The credit that a log should be trained with.

    What the log lacks decides first: without rewards or live groups there is nothing to teach, with
    one step per rollout there is nothing to place, without an order or a task nothing is known of a
    history. Else it is the credit that trained best on simulated worlds, if it did so beyond doubt,
    and return-to-go, which reads nothing, where nothing can be told apart.

    Args:
        space: The log, opened.
        convention: Whether to look for the method that the trainer's own advantages are of, where
            the log has them; every method is tried for it.
    """
    steps = space.steps
    found = facts(steps.log)
    lines = [
        _of_groups(found),
        _of_states(found),
        *_of_values(space),
        _of_length(found),
        _of_masks(found),
        *(_of_convention(space) if convention else ()),
    ]
    credit, why, sure = _chosen(space, found)
    return Advice(credit=credit, why=why, sure=sure, first=_first(steps.log, found), evidence=lines)


def _chosen(space: Space, found: Facts) -> tuple[str | None, str, str]:
    """The credit, why, and how sure."""
    steps = space.steps
    if not found.group_kinds["live"]:
        return (
            None,
            "no group has rollouts of different outcome, so nothing says which to do more often",
            "certain: it is counted",
        )
    if found.lengths["maximum"] == 1:
        return (
            "grpo",
            "every rollout is one step, so there is nothing to place inside of it",
            "certain: methods that place credit give the same here",
        )
    if steps.guessed_chains:
        return (
            "grpo",
            f"{steps.guessed_chains}; a credit that looks along a rollout would be wrong",
            "certain as far as it goes; a log that says the order allows more",
        )
    if (rollouts := int(steps.counted[steps.trajectory_start[:-1]].sum())) < ENOUGH:
        return (
            evidence.CONTROL,
            f"{number_of(rollouts, 'rollout')} {'is' if rollouts == 1 else 'are'} too few to learn "
            "from what others did",
            f"a rule of thumb: {ENOUGH} at least",
        )
    able = {name for name in METHODS if not _lacks(name, space)}
    if steps.column("task").is_null().mean() > 0.5:  # type: ignore[operator]
        able -= {_OF_HISTORY}
    top = evidence.best(evidence.cells(), able)
    if top is None:
        return (
            evidence.CONTROL,
            "no credit that this log feeds was reliably above it in training on simulated worlds",
            _how_sure(evidence.standings(evidence.cells(), able)),
        )
    others = ", ".join(f"{world} {gain:+.3f}" for world, gain in top.by_world.items())
    return (
        top.credit,
        f"it trained best of what this log feeds in {number_of(top.worlds, 'simulated world')} "
        f"({others} in mean success over the course, against {evidence.CONTROL})",
        f"{top.gain:+.3f} [{top.low:+.3f}, {top.high:+.3f}] over {evidence.CONTROL} with a small "
        f"policy, at least {top.seeds} seeds per condition; another world, or a language "
        "model, may differ",
    )


def _how_sure(known: Sequence[evidence.Standing]) -> str:
    if not known:
        return "nothing was measured for the credits that this log feeds"
    top = known[0]
    return (
        f"the nearest, {top.credit}, had {top.gain:+.3f} [{top.low:+.3f}, {top.high:+.3f}], which "
        "is not told apart from none"
    )


def _lacks(name: str, space: Space) -> bool:
    """True where a log lacks a column that a method needs."""
    columns = [need for need in create(name).needs() if need not in ("keys", "similarity")]
    return any(
        column not in space.steps.log.columns or space.steps.column(column).is_null().all()
        for column in columns
    )


def _first(log: pl.DataFrame, found: Facts) -> list[str]:
    said = [f"{found.mixed_policies}: train each by itself"] if found.mixed_policies else []
    acted = policies_of(log)
    if len(acted) > 1 and not found.mixed_policies:
        names = ", ".join(" with ".join(models) for models in acted[:4])
        said.append(
            f"{len(acted)} policies acted ({names}{', …' * (len(acted) > 4)}), each in groups of "
            "its own: export each by itself, since a batch trains one policy (--group)"
        )
    said += [f"{remark.text.rstrip('.')}: {remark.action.rstrip('.')}" for remark in of_log(log)]
    dead = sum(found.group_kinds.values()) - found.group_kinds["live"]
    if dead > found.group_kinds["live"] > 0:
        said.append(
            f"{dead:,} of {number_of(found.groups, 'group')} have one outcome: sample tasks of "
            "middling difficulty, or more rollouts of each"
        )
    if (found.truncated or 0.0) > _CUT:
        said.append(
            f"a limit cut off {found.truncated:.0%} of the rollouts: raise it, or leave them "
            "untrained by their finish_reason if they would teach to stop"
        )
    return said


def _of_groups(found: Facts) -> Line:
    kinds = {kind: count for kind, count in found.group_kinds.items() if count and kind != "live"}
    dead = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in kinds.items())
    live = found.group_kinds["live"]
    return Line(
        about="groups",
        text=f"{live:,} of {number_of(found.groups, 'group')} live"
        + (f"; dead: {dead}" if dead else ""),
        numbers={"live": live, "groups": found.groups, **kinds},
    )


def _of_states(found: Facts) -> Line:
    alone = found.singleton_rate
    if alone is None:
        return Line(about="states", text="not known: no step is scored")
    meant = "steps can hardly be compared by equal text" if alone > 0.5 else "many texts repeat"
    return Line(
        about="states",
        text=f"{alone:.0%} of the steps have a text that occurs once in their group: {meant}",
        numbers={"singletons": alone},
    )


def _of_values(space: Space) -> list[Line]:
    """The share of returns that values of histories explain without being fitted to them."""
    steps = space.steps
    if steps.guessed_chains and not space.allow_unchained:
        return []
    method = create(_OF_HISTORY)
    gamma: float = method.values["gamma"]
    returns = discounted_returns(steps.reward, steps.step_index, gamma)
    value = method(steps, space).outputs["history_value"]
    own, plain = (
        float(np.mean((returns - guess)[steps.counted] ** 2)) if steps.counted.any() else 0.0
        for guess in (value, means_of_others(steps, returns))
    )
    if plain == 0.0:
        return [Line(about="values", text="all returns are equal, so there is nothing to predict")]
    less = 1.0 - own / plain
    much = f"explains {less:.0%}" if less > 0 else "explains nothing"
    tasks = float(steps.column("task").is_not_null().mean())  # type: ignore[arg-type]
    return [
        Line(
            about="values",
            text=f"what was done so far {much} of what the mean of the group's "
            f"other rollouts leaves open of a return; {tasks:.0%} of the steps have a task",
            numbers={"explained": less, "with_task": tasks},
        )
    ]


def _of_length(found: Facts) -> Line:
    length = found.lengths
    return Line(
        about="length",
        text=f"{length['minimum']:g} to {length['maximum']:g} steps per rollout, median "
        f"{length['median']:g}",
        numbers=dict(length),
    )


def _of_masks(found: Facts) -> Line:
    cut = "not known" if found.truncated is None else f"{found.truncated:.0%}"
    return Line(
        about="masks",
        text=f"{number_of(found.uncounted, 'rollout')} not counted, {found.untrained:,} not "
        f"trained; cut off by a limit: {cut}",
        numbers={
            "uncounted": found.uncounted,
            "untrained": found.untrained,
            "truncated": found.truncated,
        },
    )


def _of_convention(space: Space) -> list[Line]:
    """Method that reproduces the log's own advantages, where it has any."""
    return [
        Line(
            about="trainer",
            text=f"the log's own advantages are those of {reading.where} on "
            f"{reading.value or 0.0:.0%} of the steps ({reading.note})",
            numbers={"closest": reading.where, "share": reading.value},
        )
        for reading in closest_to_logged(AuditedLog(space), texts=space.has_similarity)
    ]


def texts_of(found: Advice) -> list[tuple[str, str]]:
    """Label and text of each line, for a terminal or a page."""
    rows = [("why", found.why), ("how sure", found.sure)]
    rows += [("first" if not number else "", text) for number, text in enumerate(found.first)]
    return rows + [(line.about, line.text) for line in found.evidence]
