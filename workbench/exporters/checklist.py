"""Checklist of a batch from its manifest, for somebody who is about to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from workbench.exporters.manifest import Manifest
from workbench.exporters.selection import REASONS, UNTRAINED
from workbench.log.remarks import OF_SCALE
from workbench.wording import are, number, number_of, of_all, shortened

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
        *_scale(manifest),
        _zero_groups(manifest),
        _left_out(manifest),
        *_clipped(manifest),
        _lengths(manifest),
        _policies(manifest),
        _staleness(manifest),
    ]


def balance(manifest: Manifest) -> pl.DataFrame:
    """Counts of input, of what was left out and why, and of the batch.

    Returns:
        Columns what, trajectories, steps: the log, one row per reason that took something away,
        the batch, which is what its files hold. The first row is the sum of all others.
    """
    rows: list[tuple[str, int, int]] = [_counted("in the log", manifest.input)]
    rows += [
        _counted(f"− {REASONS.get(reason, reason)}", lost)
        for reason, lost in manifest.dropped.items()
        if lost["steps"]
    ]
    idle = not_written(manifest)
    if idle["steps"]:
        where = "in no pair" if manifest.unit == "pair" else "no trained step in its row"
        rows.append(_counted(f"− {where}", idle))
    kept = {name: manifest.counts[name] - count for name, count in idle.items()}
    rows.append(_counted("in the batch", kept))
    return pl.DataFrame(rows, schema=["what", "trajectories", "steps"], orient="row")


def not_written(manifest: Manifest) -> dict[str, int]:
    """Trajectories and steps that were selected, and whose rows train nothing and are no rows."""
    names = ("trajectories", "steps")
    return {name: manifest.counts.get(f"{name}_not_written", 0) for name in names}


def size(manifest: Manifest) -> str:
    """Rows of the files, the steps in them, and how many of those are trained."""
    counts = manifest.counts
    rows = number_of(counts["rows"], "pair" if manifest.unit == "pair" else "row")
    steps = number_of(counts["steps"] - not_written(manifest)["steps"], "step")
    return f"{rows} of {steps}, {manifest.worth['steps']:,} of them trained"


def _counted(what: str, counts: Mapping[str, int]) -> tuple[str, int, int]:
    return what, counts["trajectories"], counts["steps"]


def _of_rows(manifest: Manifest) -> list[Check]:
    checks, unit = manifest.checks, "token" if manifest.token_level else "reply"
    return [
        _simple(
            "Alignment",
            checks.get("lengths_equal"),
            f"every {unit} has its own mask and advantage",
            "lists of a row differ in length",
        ),
        _masks(manifest),
        _prefix(manifest),
        _logprobs(manifest),
    ]


def _masks(manifest: Manifest) -> Check:
    # No step of a row that is not written is trained.
    check = "Masks"
    masked = manifest.counts.get("masked_steps", 0) - not_written(manifest)["steps"]
    if not manifest.checks.get("masked_advantages_zero"):
        says = "an advantage stands where nothing is trained"
        return Check(check=check, verdict="look", says=says)
    says = f"{are(masked, 'step')} not trained, with advantage 0" if masked else "none is needed"
    look = []
    if idle := manifest.counts.get("rows_that_train_nothing", 0):
        one, row = ("it", "the row") if idle == 1 else ("them", "such rows")
        look.append(
            f"{are(idle, 'row', 'train')} nothing; a mean per row over {one} is 0/0: leave {row} "
            "out of it, or divide by the trained count of the whole batch"
        )
    if changed := manifest.counts.get("masks_changed", 0):
        look.append(
            f"{are(changed, 'trajectory')} counted or trained differently from when the credit was "
            "made: give both the same --untrained and --keep-masked"
        )
    return Check(check=check, verdict="look" if look else "holds", says="; ".join([says, *look]))


def _simple(check: str, holds: bool | None, good: str, bad: str) -> Check:
    return Check(check=check, verdict="holds" if holds else "look", says=good if holds else bad)


def _prefix(manifest: Manifest) -> Check:
    check, holds = "Prefixes", manifest.checks.get("prefix_property")
    if holds is None:
        says = "rows are messages, which your trainer tokenises"
        return Check(check=check, verdict="n/a", says=says)
    apart = manifest.counts.get("trajectories_as_steps", 0)
    bad = "some prompts do not begin with the sequence of the step before" + (
        f": {are(apart, 'trajectory')} written step by step" if apart else ""
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
    row = "reply" if manifest.unit == "pair" else "row"
    if not counts["rows_rebuilt"]:
        says = f"{number_of(rows, row)} as logged, up to the last reply: every message, role, "
        says += "call and thought"
        return Check(check=check, verdict="holds", says=says)
    rebuilt = counts["rows_rebuilt"]
    says = f"{of_all(rebuilt, rows, row)} rebuilt from observation and action; no system message"
    says += ", no tools"
    return Check(check=check, verdict="look", says=says)


def _templated(check: str, tokens: Mapping[str, Any]) -> Check:
    """Changes that the chat template made to the conversations."""
    lost, rebuilt = tokens.get("not_shown") or {}, tokens.get("rebuilt_steps", 0)
    says = []
    if lost:
        listed = ", ".join(f"{what} ({number_of(count, 'time')})" for what, count in lost.items())
        says.append(f"the chat template does not show {listed}")
    if rebuilt:
        says.append(
            f"{are(rebuilt, 'step')} rebuilt from observation and action; no system message, no "
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
    drift = (
        f"; {are(drifting, 'reply', 'come')} back differently from what was written"
        if drifting
        else ""
    )
    if cut := tokens.get("cut_replies"):
        drift += f"; {are(cut, 'reply')} cut and trained without an end token"
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
        says = f"every trajectory has {number_of(longest, 'step')}"
        return Check(check=check, verdict="holds", says=says)
    has = f"trajectories have {shortest:,} to {longest:,} steps"
    if manifest.weight["name"] == "inverse_length":
        says = f"{has}; their weights even that out in a sum over tokens"
        return Check(check=check, verdict="holds", says=says)
    says = f"{has}: a mean over tokens or over step rows weighs long ones more, unless weighted"
    return Check(check=check, verdict="look", says=says)


def _scale(manifest: Manifest) -> list[Check]:
    """Advantages in the unit of large rewards, where the notes have it."""
    notes = [note for note in manifest.notes if note.startswith(OF_SCALE)]
    return [
        Check(
            check="Reward scale",
            verdict="look",
            says=f"{note.partition(' Hint: ')[0].rstrip('.')}; the notes say what to do",
        )
        for note in notes
    ]


def _zero_groups(manifest: Manifest) -> Check:
    check, count = "Zero groups", manifest.counts.get("zero_advantage_groups", 0)
    lost = manifest.dropped.get("zero_advantage_groups", {}).get("groups", 0)
    look = []
    if count:
        they = "it" if count == 1 else "they"
        look.append(f"{are(count, 'group', 'cost')} compute for no pull; {they} can be left out")
    if (faint := manifest.advantages.get("faint", {})).get("groups"):
        look.append(_faint(faint))
    if look:
        return Check(check=check, verdict="look", says="; ".join(look))
    says = f"none is left, {number_of(lost, 'group')} left out" if lost else "there is none"
    return Check(check=check, verdict="holds", says=says)


def _faint(faint: Mapping[str, Any]) -> str:
    """Groups that pull by next to nothing, against what."""
    count, usual = faint["groups"], number(faint["usual"])
    they = "its" if count == 1 else "their"
    against = (
        f"a group with different outcomes reaches ±{usual}"
        if faint["live"]
        else f"no group has different outcomes, and rewards suggest ±{usual}"
    )
    return (
        f"{are(count, 'group', 'pull')} by next to nothing: {they} advantages are within "
        f"±{number(faint['largest'], 2)}, where {against}; --group exports others alone"
    )


def _left_out(manifest: Manifest) -> Check:
    """All that the log has and the batch does not train, whatever the reason."""
    check, counts = "Left out", manifest.counts
    lost = {name: each["trajectories"] for name, each in manifest.dropped.items()}
    says = []
    if any(lost.values()):
        total = number_of(manifest.input["trajectories"], "trajectory")
        says.append(f"of {total} not in it: {_by_reason(lost, REASONS)}")
    idle = {name: counts.get(name, 0) for name in UNTRAINED}
    if any(idle.values()):
        some = of_all(sum(idle.values()), counts["steps"], "step")
        what = "in no pair" if manifest.unit == "pair" else "context and not trained"
        says.append(f"{some} {what}: {_by_reason(idle, UNTRAINED)}")
    if rows := counts.get("rows_without_training"):
        total = number_of(counts["rows"] + rows, "row")
        says.append(f"not written, without a trained step: {rows:,} of {total}")
    if not says:
        return Check(check=check, verdict="holds", says="none: the whole log is in the batch")
    return Check(check=check, verdict="look", says="; ".join(says))


def _by_reason(counted: Mapping[str, int], words: Mapping[str, str]) -> str:
    return ", ".join(
        f"{count:,} ({words.get(name, name)})" for name, count in counted.items() if count
    )


def _clipped(manifest: Manifest) -> list[Check]:
    """The number of advantages that were limited, where that was asked for."""
    limit = manifest.options.get("clip")
    if limit is None:
        return []
    count = manifest.counts.get("clipped_steps", 0)
    says = (
        f"{number_of(count, 'advantage')} limited to ±{number(limit)}"
        if count
        else (f"no advantage is beyond ±{number(limit)}")
    )
    return [Check(check="Clipped", verdict="look" if count else "holds", says=says)]


def _policies(manifest: Manifest) -> Check:
    """A check that one policy acted in all rollouts: a batch trains one."""
    check, acted = "Policies", manifest.policy.get("acted")
    if not acted:
        return Check(check=check, verdict="n/a", says="the log does not name the model")
    named = ", ".join(shortened(" with ".join(models), 40) for models in acted[:4])
    if len(acted) == 1:
        return Check(check=check, verdict="holds", says=f"all rollouts are of {named}")
    says = (
        f"rollouts of {len(acted)} policies ({named}{', …' * (len(acted) > 4)}): one would be "
        "trained on what others did; export each by itself (--group)"
    )
    return Check(check=check, verdict="look", says=says)


def _staleness(manifest: Manifest) -> Check:
    check, behind = "Staleness", manifest.policy.get("max_staleness")
    if behind is None:
        says = "the log does not say both train_step and policy_version"
        return Check(check=check, verdict="n/a", says=says)
    if behind > 0:
        says = f"the oldest policy was {number_of(behind, 'train step')} behind"
        return Check(check=check, verdict="look", says=says)
    return Check(check=check, verdict="holds", says="every step is of the policy being trained")
