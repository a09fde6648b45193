"""What a manifest says about a batch, in words that somebody who is about to train can act on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from workbench.exporters.manifest import Manifest
from workbench.exporters.selection import REASONS

Verdict = Literal["holds", "look", "n/a"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the table of checks.

    Args:
        check: What was looked at.
        verdict: "holds", "look" where somebody should know before training, or "n/a".
        says: What was found, one sentence.
    """

    check: str
    verdict: Verdict
    says: str


def checklist(manifest: Manifest) -> list[Check]:
    """The checks of a batch, those that every batch passes first."""
    return [
        *_of_rows(manifest),
        _conversation(manifest),
        _tokens(manifest),
        _zero_groups(manifest),
        _left_out(manifest),
        _lengths(manifest),
        _staleness(manifest),
    ]


def balance(manifest: Manifest) -> pl.DataFrame:
    """What came in, what was left out and why, and what is in the batch.

    Returns:
        Columns what, trajectories, steps: the log, one row a reason that took something away,
        the batch. The first row is the sum of all others.
    """
    rows: list[tuple[str, int, int]] = [_counted("in the log", manifest.input)]
    rows += [
        _counted(f"− {REASONS.get(reason, reason)}", lost)
        for reason, lost in manifest.dropped.items()
        if lost["steps"]
    ]
    rows.append(_counted("in the batch", manifest.counts))
    return pl.DataFrame(rows, schema=["what", "trajectories", "steps"], orient="row")


def _counted(what: str, counts: Mapping[str, int]) -> tuple[str, int, int]:
    return what, counts["trajectories"], counts["steps"]


def _of_rows(manifest: Manifest) -> list[Check]:
    checks, unit = manifest.checks, "token" if manifest.token_level else "reply"
    masked = manifest.counts.get("masked_steps", 0)
    return [
        _simple(
            "Alignment",
            checks.get("lengths_equal"),
            f"every {unit} has its own mask and advantage",
            "lists of a row differ in length",
        ),
        _simple(
            "Masks",
            checks.get("masked_advantages_zero"),
            f"{masked:,} steps are not trained, their advantage is 0"
            if masked
            else "none is needed",
            "an advantage stands where nothing is trained",
        ),
        _prefix(manifest),
        _logprobs(manifest),
    ]


def _simple(check: str, holds: bool | None, good: str, bad: str) -> Check:
    return Check(check=check, verdict="holds" if holds else "look", says=good if holds else bad)


def _prefix(manifest: Manifest) -> Check:
    check, holds = "Prefixes", manifest.checks.get("prefix_property")
    if holds is None:
        says = "the log has no token ids: rows are messages, which your trainer tokenises"
        return Check(check=check, verdict="n/a", says=says)
    apart = manifest.counts.get("trajectories_as_steps", 0)
    bad = "some prompts do not begin with the sequence of the step before" + (
        f": {apart:,} trajectories are written step by step" if apart else ""
    )
    return _simple(check, holds, "each prompt begins with the sequence of the step before", bad)


def _logprobs(manifest: Manifest) -> Check:
    check, holds = "Logprobs", manifest.checks.get("logprobs_present")
    if not manifest.token_level:
        says = "a batch of messages has none; your trainer computes the old ones"
        return Check(check=check, verdict="n/a", says=says)
    bad = "not logged for every row: your trainer must compute the old ones"
    return _simple(check, holds, "every trained token has the one it was sampled with", bad)


def _conversation(manifest: Manifest) -> Check:
    check, counts = "Conversation", manifest.counts
    if manifest.tokens["from"] == "text":
        return _templated(check, manifest.tokens)
    if "rows_rebuilt" not in counts:
        says = "the log's own token ids are what the policy read and wrote"
        return Check(check=check, verdict="n/a", says=says)
    rows = counts["rows_from_messages"] + counts["rows_rebuilt"]
    if not counts["rows_rebuilt"]:
        says = f"every message, role, call and thought of {rows:,} rows is as it was logged"
        return Check(check=check, verdict="holds", says=says)
    rebuilt = counts["rows_rebuilt"]
    share = f"all {rows:,} rows" if rebuilt == rows else f"{rebuilt:,} of {rows:,} rows"
    says = f"{share} are rebuilt from observation and action; no system message, no tools"
    return Check(check=check, verdict="look", says=says)


def _templated(check: str, tokens: Mapping[str, Any]) -> Check:
    """What the chat template made of the conversations."""
    lost, rebuilt = tokens.get("not_shown") or {}, tokens.get("rebuilt_steps", 0)
    says = []
    if lost:
        listed = ", ".join(f"{what} ({count:,} times)" for what, count in lost.items())
        says.append(f"the chat template does not show {listed}")
    if rebuilt:
        says.append(
            f"{rebuilt:,} steps are rebuilt from observation and action; no system message, no "
            "tools"
        )
    if says:
        return Check(check=check, verdict="look", says="; ".join(says))
    good = "the chat template shows every message, call and thought"
    return Check(check=check, verdict="holds", says=good)


def _tokens(manifest: Manifest) -> Check:
    check, tokens = "Tokens", manifest.tokens
    if tokens["from"] is None:
        return Check(check=check, verdict="n/a", says="a batch of messages has none")
    drifting, named = tokens["drifting_steps"], tokens["tokenizer"]
    drift = f"; {drifting:,} replies come back otherwise than they went in" if drifting else ""
    if tokens["from"] == "text":
        says = f"made from the text with {named}, not those that the policy sampled{drift}"
        return Check(check=check, verdict="look", says=says)
    held = f", and {named} knows them" if named else ""
    verdict: Verdict = "look" if drifting else "holds"
    return Check(check=check, verdict=verdict, says=f"those of the log{held}{drift}")


def _lengths(manifest: Manifest) -> Check:
    check, counts = "Lengths", manifest.counts
    shortest, longest = counts.get("shortest_trajectory", 0), counts.get("longest_trajectory", 0)
    if shortest == longest:
        says = f"every trajectory has {longest:,} steps"
        return Check(check=check, verdict="holds", says=says)
    has = f"trajectories have {shortest:,} to {longest:,} steps"
    if manifest.weight["name"] == "inverse_length":
        says = f"{has}; their weights even that out in a sum over tokens"
        return Check(check=check, verdict="holds", says=says)
    says = f"{has}: a mean over tokens or over step rows weighs long ones more, unless weighted"
    return Check(check=check, verdict="look", says=says)


def _zero_groups(manifest: Manifest) -> Check:
    check, count = "Zero groups", manifest.counts.get("zero_advantage_groups", 0)
    lost = manifest.dropped.get("zero_advantage_groups", {}).get("groups", 0)
    if count:
        says = f"{_groups(count)} cost compute and pull at nothing; they can be left out"
        return Check(check=check, verdict="look", says=says)
    says = f"none is left, {_groups(lost)} left out" if lost else "there is none"
    return Check(check=check, verdict="holds", says=says)


def _groups(count: int) -> str:
    return f"{count:,} group" + "s" * (count != 1)


def _left_out(manifest: Manifest) -> Check:
    check = "Left out"
    lost = {
        reason: entry["trajectories"]
        for reason, entry in manifest.dropped.items()
        if entry["trajectories"]
    }
    if not lost:
        return Check(check=check, verdict="holds", says="none: the whole log is in the batch")
    reasons = ", ".join(f"{count:,} ({REASONS.get(name, name)})" for name, count in lost.items())
    total = manifest.input["trajectories"]
    return Check(check=check, verdict="look", says=f"of {total:,}: {reasons}")


def _staleness(manifest: Manifest) -> Check:
    check, behind = "Staleness", manifest.policy.get("max_staleness")
    if behind is None:
        says = "the log does not say both train_step and policy_version"
        return Check(check=check, verdict="n/a", says=says)
    if behind > 0:
        says = f"the oldest policy was {behind:,} train steps behind"
        return Check(check=check, verdict="look", says=says)
    return Check(check=check, verdict="holds", says="every step is of the policy being trained")
