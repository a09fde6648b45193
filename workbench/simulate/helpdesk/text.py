"""Text of a helpdesk task: calls as JSON, results with the ticket's notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from workbench.files import canonical_json
from workbench.simulate.helpdesk.states import (
    CAUSES,
    COMPONENTS,
    FIXES,
    Call,
    Known,
    Status,
    TicketStates,
)
from workbench.simulate.lexicon import Clause, Lexicon, Speaker
from workbench.simulate.model import END, Model

OPTION = {"inspect": ("component", COMPONENTS), "apply_fix": ("fix", FIXES)}

LEXICON = Lexicon(
    phrases={
        "ticket": (
            "A customer writes that these do not work: {devices}.",
            "New ticket. The customer reports {devices} out of order.",
            "The customer says that {devices} stopped working.",
            "Out of order according to the customer: {devices}.",
            "Complaint received about {devices}.",
        ),
        "verify_customer": (
            "The customer's identity is confirmed.",
            "Identity check passed.",
            "The caller is who they say they are.",
            "The security questions were answered correctly.",
            "The customer has been verified.",
        ),
        "run_diagnostic": (
            "Diagnostic of the {device}: the fault is in the {component}.",
            "The {device} reports a problem with its {component}.",
            "According to the diagnostic, the {component} of the {device} is at fault.",
            "Diagnosis for the {device}: look at the {component}.",
            "The self-test of the {device} points to the {component}.",
        ),
        "found": (
            "The {component} of the {device} has {cause}.",
            "Inspection of the {device} shows {cause} in the {component}.",
            "In the {component} of the {device} there is {cause}.",
            "The {device} suffers from {cause}, found in its {component}.",
            "Cause found: {cause}, {component} of the {device}.",
        ),
        "in_order": (
            "The {component} of the {device} is in order.",
            "Nothing is wrong with the {component} of the {device}.",
            "Inspection of the {device}: its {component} is fine.",
            "The {device} has a healthy {component}.",
            "No fault in the {component} of the {device}.",
        ),
        "apply_fix": (
            "The {fix} of the {device} was carried out.",
            "Done: {fix} of the {device}.",
            "The {device} has had its {fix}.",
            "A {fix} was applied to the {device}.",
            "The requested {fix} of the {device} is complete.",
        ),
        "refused": (
            "Refused: the customer's identity is not confirmed.",
            "Not allowed before the customer is verified.",
            "Error: unverified customer, nothing was changed.",
            "This needs a verified customer; no action taken.",
            "The request was rejected because the identity check is missing.",
        ),
        "send_update": (
            "The customer was told that work is going on.",
            "An update was sent to the customer.",
            "The customer replied with thanks.",
            "Message delivered to the customer.",
            "The customer has read your update.",
        ),
        "close_ticket": (
            "The ticket is closed.",
            "Ticket closed.",
            "The case was closed and filed.",
            "This ticket is now in the archive.",
        ),
        "timeout": (
            "The service did not answer.",
            "Request timed out.",
            "No response from the backend.",
            "The call failed with a gateway error.",
            "The tool is busy; nothing was done.",
        ),
        "vague": (
            "The call was processed.",
            "Request handled.",
            "The tool returned without a message.",
            "OK, no further output.",
            "The service accepted the call.",
        ),
        "identity": (
            "Identity: {identity}.",
            "Customer check: {identity}.",
            "Verification status is {identity}.",
            "The customer is {identity}.",
            "Caller: {identity}.",
        ),
        "notes": (
            "{device}: {knowledge}, {work}.",
            "Notes on the {device}: {knowledge}; {work}.",
            "Noted for the {device}: {knowledge} and {work}.",
            "For the {device} the file says {knowledge}, {work}.",
            "On file for the {device}: {work}, {knowledge}.",
        ),
    },
    openers=(
        "Result:", "Response:", "Tool output:", "200 OK.", "Log:", "Received:", "Status:",
        "Answer:", "Here is the result.", "Returned:", "System:", "Info:", "Reply:", "Output:",
    ),
    closers=(
        "", "End of message.", "Anything else?", "Awaiting the next call.", "Queue position 3.",
        "Session active.", "Audit entry written.", "Latency 80 ms.", "Latency 210 ms.",
        "Trace stored.", "Ready.", "What is the next call?", "Agent desk 4.", "Shift B.",
    ),
)  # fmt: skip

KNOWLEDGE = {Known.NOTHING: "fault unknown", Known.COMPONENT: "fault in the {component}"}


def call_text(call: Call, states: TicketStates) -> str:
    """A call as the agent writes it, such as `inspect {"component":"network","device":"phone"}`."""
    arguments = {}
    if call.issue >= 0:
        arguments["device"] = states.issues[call.issue].device
    if call.option >= 0:
        name, options = OPTION[call.tool]
        arguments[name] = options[call.option]
    return f"{call.tool} {canonical_json(arguments)}"


@dataclass(frozen=True, kw_only=True)
class TicketNarrator(Speaker):
    """Words the observations of one ticket.

    An observation is the result of the call and the ticket's notes: all that the agent knows.
    The notes say that a fix was made, not whether it cured.

    Args:
        states: All states of the ticket.
        model: The ticket's transitions.
        calls: The ticket's calls.
        paraphrase: Probability that an observation is reworded, in [0, 1].
        aliased: States whose observation only says that the call was processed. (Z,) bool.
    """

    lexicon: ClassVar[Lexicon] = LEXICON
    states: TicketStates
    model: Model
    calls: Sequence[Call]
    aliased: npt.NDArray[np.bool_]

    def _opening(self) -> list[Clause]:
        """The customer's message and the notes; never aliased."""
        devices = [issue.device for issue in self.states.issues]
        return [("ticket", {"devices": devices}), *self._notes(self.states.start())]

    def _feedback(self, pair: int, outcome: int) -> list[Clause]:
        """Observation after a call; a timeout shows as such even in an aliased state."""
        next_state = int(self.model.next_state[pair, outcome])
        call = self.calls[self.model.action[pair]]
        result: Clause = ("timeout", {}) if outcome == 1 else self._result(pair, call)
        if next_state == END:
            return [result]
        if self.aliased[next_state]:
            return [result if outcome == 1 else ("vague", {})]
        return [result, *self._notes(next_state)]

    def _result(self, pair: int, call: Call) -> Clause:
        """Result of an answered call, from the state in which it was made."""
        if call.issue < 0:
            return (call.tool, {})
        issue = self.states.issues[call.issue]
        words = {"device": issue.device}
        if call.tool == "run_diagnostic":
            return (call.tool, {**words, "component": COMPONENTS[issue.component]})
        if call.tool == "inspect":
            words["component"] = COMPONENTS[call.option]
            if call.option != issue.component:
                return ("in_order", words)
            return ("found", {**words, "cause": CAUSES[issue.cause]})
        if not self.states.verified[self.model.state_of(pair)]:
            return ("refused", {})
        return (call.tool, {**words, "fix": FIXES[call.option]})

    def _notes(self, state: int) -> list[Clause]:
        states = self.states
        identity = "confirmed" if states.verified[state] else "not confirmed"
        clauses: list[Clause] = [("identity", {"identity": identity})]
        for place, issue in enumerate(states.issues):
            known, status = states.known[state, place], states.status[state, place]
            told = KNOWLEDGE.get(known, "{cause} in the {component}")
            knowledge = told.format(
                component=COMPONENTS[issue.component], cause=CAUSES[issue.cause]
            )
            work = "no fix made" if status == Status.BROKEN else "a fix made"
            words = {"device": issue.device, "knowledge": knowledge, "work": work}
            clauses.append(("notes", words))
        return clauses
