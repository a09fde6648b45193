"""The verdict on a log at the top of the first page: a sentence a question, with what to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from workbench.errors import LogError
from workbench.log.facts import Facts
from workbench.ui import cache, frame, state
from workbench.ui.text import escaped, told
from workbench.wording import are, number_of

if TYPE_CHECKING:
    from workbench.analysis.audit import Finding

_SAID = "dead-groups"  # a finding of which the first sentence is
_AT_ONCE = 5_000  # steps up to which every method is tried on the trainer's numbers unasked
_KINDS = {
    "all_fail": "fail throughout",
    "all_pass": "succeed throughout",
    "constant_reward": "have one reward",
    "one_rollout": "have a single rollout",
    "penalty_only": "differ by the invalid-action penalty alone",
    "unscored": "are not scored",
}
STEPS_OF = {
    "dead-groups": "-kind:live",
    "penalty-only-credit": "kind:penalty_only",
    "credit-of-equals": "kind:all_fail,all_pass,constant_reward,one_rollout",
    "unstable-signs": "unstable:{credit}",
}
"""Finding -> the filter of the steps that it is about, where there is one."""
SEVERITY = {
    "error": ":material/error: Wrong",
    "warning": ":material/warning: Mind",
    "note": ":material/info: Know",
}
"""Severity of a finding, as shown."""


def area(facts: Facts) -> None:
    """Verdict on the log: what it can teach, its faults, the credit to use, its own numbers."""
    with st.container(border=True, gap="small"):
        _teaches(facts)
        try:
            _wrong(cache.log_findings(frame.entry().id, frame.entry()))
            _credit()
        except LogError:
            return  # no step is scored, which the page says already
        _trainer()


def _row(text: str, *buttons: Callable[[], None]) -> None:
    left, right = st.columns([5, 2], vertical_alignment="center")
    left.markdown(text)
    with right, st.container(horizontal=True, gap="small"):
        for button in buttons:
            button()


def _teaches(facts: Facts) -> None:
    live = facts.group_kinds["live"]
    dead = {kind: count for kind, count in facts.group_kinds.items() if count and kind != "live"}
    text = f"**{are(live, 'group')} live** of {facts.groups:,}"
    if live:
        text += ": their rollouts end differently"
    if dead:
        kinds = (f"{count:,} {_KINDS[kind]}" for kind, count in dead.items())
        text += f"; {', '.join(kinds)} and teach nothing by comparison"
    buttons: list[Callable[[], None]] = []
    if live:
        buttons.append(lambda: frame.link("Show live", "steps", filter="kind:live", sort=""))
    if dead:
        buttons.append(lambda: frame.link("Show dead", "steps", filter="-kind:live", sort=""))
    _row(f":material/school: {text}.", *buttons)


def _wrong(findings: Sequence[Finding]) -> None:
    def audit() -> None:
        frame.link("Audit credits", "audit")

    findings = [finding for finding in findings if finding.name != _SAID]
    if not findings:
        _row(":material/check: **Nothing else is known to be wrong with the log** itself.", audit)
        return
    for number, finding in enumerate(findings):
        buttons = [] if number else [audit]
        if finding.name in STEPS_OF:
            buttons.insert(0, partial(_show, STEPS_OF[finding.name]))
        text = f"{SEVERITY[finding.severity]}: {told(finding.text)}"
        _row(f"{text} :gray[→ {told(finding.action)}]", *buttons)


def _show(steps: str) -> None:
    frame.link("Show steps", "steps", filter=steps, sort="")


def _credit() -> None:
    """The advice in a sentence, why and how sure; the evidence on request."""
    from workbench.analysis.advice import texts_of

    entry, view = frame.entry(), state.current()
    found = cache.advice(entry.id, entry)
    rows = texts_of(found)
    buttons = []
    if found.credit is not None:
        with_it = tuple(dict.fromkeys([*view.methods[:1], found.credit]))
        buttons = [
            lambda: frame.link("Read with it", "rollouts", methods=with_it, lead=found.credit),
            lambda: frame.link("Compare", "compare", methods=with_it, pair=None),
        ]
    _row(f":material/balance: **{escaped(found.headline())}**", *buttons)
    for number, text in enumerate(found.first):
        st.markdown(f":material/flag: {'Then' if number else 'First'}: {told(text)}.")
    with st.expander("Why this credit, how sure that is, and the facts of the log behind it"):
        st.caption(told(f"Because {found.why}. How sure: {found.sure}."))
        evidence = rows[2 + len(found.first) :]
        st.text("\n".join(f"{label.capitalize()}: {text}" for label, text in evidence))


def _trainer() -> None:
    """Whose credit the log's own advantages are, as a badge."""
    here = frame.entry()
    log = cache.stored(here.id, here).frame
    if "logged_advantage" not in log.columns or log["logged_advantage"].is_null().all():
        return
    if log.height > _AT_ONCE and not st.session_state.get(state.TRAINER):
        st.button(
            "Recognise the trainer's own advantages",
            key=state.TRAINER,
            help=f"Every method and dialect is tried on {number_of(log.height, 'step')}.",
        )
        return
    for reading in cache.trainers_convention(here.id, here):
        same = f"{reading.value or 0.0:.1%} of {number_of(reading.count or 0, 'step')} alike"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(told(reading.where), icon=":material/verified:", color="gray")
            st.markdown(
                f"is what the trainer's own advantages are nearest to: {same}, "
                f"{told(reading.note)}."
            )
