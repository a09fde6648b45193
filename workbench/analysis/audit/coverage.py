"""Coverage: whether the log has what a comparison of states needs, and whom a credit listens to."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from workbench.analysis.audit.statistics import Reading, ratio, share
from workbench.analysis.audit.subject import AuditedLog, Subject
from workbench.analysis.prediction import predicting_term
from workbench.analysis.shares import shares
from workbench.log.credit import Term
from workbench.log.redaction import matches
from workbench.log.remarks import TOLERANCE
from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Real, Steps, Truth
from workbench.methods.capabilities import compares_texts
from workbench.wording import number_of, shortened

BY_SIMILARITY = "weights by similarity"  # in notes: of a kernel, in which self counts most


def log_coverage(log: AuditedLog) -> Iterator[Reading]:
    """Coverage of exact states in this log, whatever the method."""
    steps, known = log.steps, log.facts
    group, groups = steps.group, steps.groups
    yield Reading(
        measure="singleton_rate", value=known.singleton_rate, count=len(steps), note="exact text"
    )
    if known.mixed_policy_groups is not None:
        value = known.mixed_policy_groups
        yield Reading(measure="mixed_policies", value=value, count=known.groups)
    for depth, rate in known.singleton_rate_by_depth.items():
        yield Reading(measure="singleton_rate", value=rate, where=f"step {depth}")
    state = log.space.state_key()
    others = _met_by_others(steps, state)
    everywhere = np.ones(len(steps), dtype=bool)
    yield share("anchor_coverage", others > 0, everywhere, group, groups)
    count = segment_sum(everywhere.astype(np.float64), group, groups)
    yield ratio("matched_pairs", segment_sum(others, group, groups), count)
    first = np.unique(state, return_index=True)[1]
    states = np.bincount(group[first], minlength=groups).astype(np.float64)
    yield ratio("merge_rate", count - states, count)
    actions = np.unique(np.stack([state, log.space.action_key()]), axis=1)[0]
    diverges = np.bincount(actions, minlength=len(first))[state] > 1
    yield share("divergent_rate", diverges & (others > 0), everywhere, group, groups)
    loops = (others == 0) & (np.bincount(state)[state] > 1)
    yield share("loop_rate", loops, everywhere, group, groups)
    yield giant_state(log)
    total = sum(known.group_kinds.values())
    for kind, number in known.group_kinds.items():
        if kind != "live" and number:
            yield Reading(measure="dead_groups", value=number / total, count=number, where=kind)
    dead = total - known.group_kinds["live"]
    yield Reading(measure="dead_groups", value=dead / total, count=total)


def likely_secrets(log: AuditedLog) -> Iterator[Reading]:
    """Texts that look like keys, tokens, passwords or mail addresses, by kind."""
    for found in matches(log.steps.log):
        yield Reading(
            measure="likely_secrets",
            value=float(found.distinct),
            count=found.steps,
            where=found.name,
            note=f"each counted once, in {number_of(found.steps, 'step')}",
        )


def _met_by_others(steps: Steps, state: Index) -> Real:
    """Number of steps of other trajectories in each step's state. (S,) float64."""
    size = np.bincount(state)
    pair = state * steps.trajectories + steps.trajectory
    _, inverse, own = np.unique(pair, return_inverse=True, return_counts=True)
    return np.asarray(size[state] - own[inverse], dtype=np.float64)


def giant_state(log: AuditedLog) -> Reading:
    """The exact state that holds the largest share of a group's later steps.

    A trajectory's first step is left out on both sides, because all of a group begin alike. Only
    states that a trajectory is in twice or more on average, and that are reached from at least two
    different states, are looked at: a text that stands for many situations is of that kind, a
    bottleneck that every trajectory passes once is not.
    """
    steps, state = log.steps, log.space.state_key()
    later = steps.step_index > 0
    if not later.any():
        return Reading(measure="giant_state", value=None, count=0)
    states = int(state.max()) + 1
    here, before = state[later], state[np.flatnonzero(later) - 1]
    visits = np.bincount(here, minlength=states)
    by_trajectory = np.unique(here * steps.trajectories + steps.trajectory[later])
    visitors = np.bincount(by_trajectory // steps.trajectories, minlength=states)
    ways = np.unique(here * states + before)
    ways = ways[ways // states != ways % states]
    sources = np.bincount(ways // states, minlength=states)
    of_group = np.bincount(steps.group[later], minlength=steps.groups)
    group = np.zeros(states, dtype=np.int64)
    group[state] = steps.group
    often = (visits >= 2 * visitors) & (visits > 0) & (sources >= 2)
    held = np.where(often, visits / np.maximum(of_group[group], 1), 0.0)
    largest = int(np.argmax(held))
    example = int(np.flatnonzero(state == largest)[0])
    text = steps.column("observation")[example]
    note = (
        f"{visits[largest]} steps of {visitors[largest]} trajectories, reached from "
        f"{sources[largest]} other states: {shortened(text, 48)!r}"
    )
    return Reading(
        measure="giant_state",
        value=float(held[largest]),
        count=int(visits[largest]),
        where=log.group_ids[group[largest]] if held[largest] else "",
        note=note if held[largest] else "no state is visited twice per trajectory from two others",
    )


def credit_coverage(subject: Subject, rng: np.random.Generator) -> Iterator[Reading]:
    """Share of the log with a step-level credit, and the peers behind it."""
    steps = subject.steps
    everywhere = np.ones(len(steps), dtype=bool)
    how = (everywhere, steps.group, steps.groups)
    yield share("zero_signal_rate", _zero(subject.advantage), *how)
    step_term = subject.term("step")
    if step_term is not None:
        yield share("zero_step_term_rate", _zero(step_term), *how)
    if subject.credit is not None:
        name = predicting_term(subject.credit)
        if name is not None:
            yield from _peers(steps, subject.credit.terms[name], rng)
    method = subject.method
    if method is None or not compares_texts(method):
        return
    report = subject.space.embedder.windows_report
    if report is not None:
        note = f"of {report.limit} tokens" if report.limit is not None else ""
        yield Reading(
            measure="cut_texts",
            value=report.longer / max(report.texts, 1),
            count=report.texts,
            note=note,
        )


def _zero(value: Real) -> Truth:
    return np.asarray(np.abs(value) <= TOLERANCE)


def _peers(steps: Steps, term: Term, rng: np.random.Generator) -> Iterator[Reading]:
    """Owners of the steps in a term's baseline, over a sample; nothing for whole trajectories."""
    found = shares(steps, term, rng)
    if found is None:
        return
    chosen = found.chosen
    others = (found.effective > 0) & (found.own_trajectory < 1.0 - 1e-9)
    note = "" if len(chosen) == len(steps) else f"{len(chosen):,} steps drawn of {len(steps):,}"
    yield _share_of_sample("peer_coverage", others, steps, chosen, note)
    count = len(chosen)
    kernel = BY_SIMILARITY if found.by_similarity else "equal weights in a state"
    said = "; ".join(filter(None, (kernel, note)))
    for measure, value in (
        ("effective_peers", found.effective),
        ("self_weight", found.own_step),
        ("own_trajectory_weight", found.own_trajectory),
    ):
        yield Reading(measure=measure, value=float(np.median(value)), count=count, note=said)


def _share_of_sample(measure: str, hit: Truth, steps: Steps, chosen: Index, note: str) -> Reading:
    """Share of some drawn steps."""
    group = steps.group[chosen]
    hits = segment_sum(hit.astype(np.float64), group, steps.groups)
    return ratio(measure, hits, np.bincount(group, minlength=steps.groups).astype(float), note=note)
