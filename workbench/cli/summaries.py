"""Summaries of runs and exports, and the next command to type."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.cli.tables import table
from workbench.wording import number, number_of, shortened

if TYPE_CHECKING:
    from workbench.exporters import Manifest
    from workbench.exporters.checklist import Check
    from workbench.log.facts import Facts
    from workbench.states.text import StateText
    from workbench.workspace.pipeline import RunResult


def run_summary(result: RunResult) -> str:
    """Summary of a run, and the next command to type."""
    from workbench.readers.report import in_short

    mixed = result.facts.mixed_policies
    credits = result.advantages.to_dicts()
    columns = ("credit", "scored", "mean", "std", "minimum", "maximum", "zero", "zero_share")
    pairs = ("left", "right", "spearman", "sign_flips", "sign_flip_share")
    comparison = result.comparison
    notices = [note for note in result.report.get("notices", ()) if note != mixed]
    notes = _notes(result.notes)
    notes += [f"note: {note}" for note in in_short(result.report.get("left_out", ()), notices)]
    if result.quarantined is not None:
        notes.append(f"note: what was set aside is in {result.quarantined}")
    if result.no_batch is not None:
        notes.append(f"note ({result.export_method}): no batch is exported; {result.no_batch}")
    made = len(result.built)
    reused = f"{number_of(made, 'artefact')} made" if made else "everything was there already"
    paragraphs = [
        [*([f"note: {mixed}"] if mixed else []), *_in_short(result.facts)],
        ["Credit of each method", table(credits, columns)],
        []
        if comparison is None
        else ["Methods compared", table(comparison.pairs.to_dicts(), pairs)],
        notes,
        [] if result.manifest is None else _open_checks(result.manifest),
        [
            _whose_credit(result),
            f"Workspace {result.workspace}: {reused}",
            *_files(result),
        ],
    ]
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines)


def _whose_credit(result: RunResult) -> str:
    """The credit that the batch carries, and the one that is advised."""
    carried = f"The batch carries the credit of {result.export_method}"
    if result.advice.credit == result.export_method:
        return f"{carried}, which is the one advised: {result.advice.why}."
    advised = result.advice.credit or "none"
    return f"{carried}; advised is {advised}: {result.advice.why}. See `workbench advise`."


def _notes(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Notes on the log once, the rest with their methods."""
    by_text: dict[str, list[str]] = {}
    for name, said in notes.items():
        for note in said:
            by_text.setdefault(note, []).append(name)
    return [
        f"note: {note}" if len(names) == len(notes) > 1 else f"note ({', '.join(names)}): {note}"
        for note, names in by_text.items()
    ]


def _in_short(facts: Facts) -> list[str]:
    """The facts that decide what a group method can do, in two lines."""
    dead = ", ".join(
        f"{count} {kind.replace('_', ' ')}"
        for kind, count in facts.group_kinds.items()
        if kind != "live" and count
    )
    alone = facts.singleton_rate
    said = [] if alone is None else [f"{alone:.1%} of the states occur once in their group."]
    said += [f"Dead groups: {dead}."] if dead else []
    return [facts.sentence(), *([" ".join(said)] if said else [])]


def next_command(result: RunResult) -> str:
    """Explain the step on which the first and the last method differ most, as it was scored."""
    method = result.export_method
    parts = ["workbench", "explain", str(result.log), "-m", method, "--step", _telling_step(result)]
    fields = result.params.get(method, {})
    return shlex.join([*parts, *how_scored(fields, result.embedder, result.state_text)])


def how_scored(fields: Mapping[str, Any], embedder: str, text: StateText) -> list[str]:
    """The options that give a method these fields and this space; defaults are left away."""
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER

    parts = []
    for field, value in fields.items():
        parts += ["-p", f"{field}={value if isinstance(value, str) else json.dumps(value)}"]
    if text.template != "{observation}":
        parts += ["--state", text.template, "--last-actions", str(text.last_actions)]
    if embedder != DEFAULT_EMBEDDER:
        parts += ["--embedder", embedder]
    return parts


def _telling_step(result: RunResult) -> str:
    """The step of the largest disagreement, or of one method's largest credit."""
    import polars as pl

    from workbench.log.credit import read_credit

    if result.comparison is not None:
        names = result.comparison.names
        differences = result.comparison.disagreements
        pair = (differences["left"] == names[0]) & (differences["right"] == names[-1])
        rows = differences.filter(pair)
    else:
        credit = read_credit(result.credits[result.export_method]).table
        trained = credit.filter("gradient_mask")
        credit = credit if trained.is_empty() else trained
        size = pl.col("advantage").abs()
        rows = credit.sort(size, descending=True, nulls_last=True, maintain_order=True)
    row = rows.row(0, named=True)
    return f"{row['trajectory_id']}:{row['step_index']}"


def export_summary(manifest: Manifest) -> str:
    """Summary of a batch: contents, checks, worth, and settings of its trainer."""
    from workbench.exporters.checklist import checklist, size
    from workbench.exporters.selection import REASONS

    counts, worth = manifest.counts, manifest.worth
    sizes = [size(manifest)]
    sizes += [number_of(counts["tokens"], "token")] if "tokens" in counts else []
    sizes += [
        f"left out {number_of(lost['trajectories'], 'trajectory')} of "
        f"{number_of(lost['steps'], 'step')} ({REASONS.get(reason, reason)})"
        for reason, lost in manifest.dropped.items()
        if lost["steps"]
    ]
    pull = f"{worth['pulling']:,} of {number_of(worth['steps'], 'trained step')}"
    if worth["tokens"] is not None:
        tokens = number_of(worth["tokens"], "trained token")
        pull += f" and {worth['pulling_tokens']:,} of {tokens}"
    value = f"{pull} pull at the policy, as much as {number(worth['effective_steps'])} equal steps"
    if worth["pulling"]:
        share = f"{worth['top_group_share']:.1%}"
        value += f"; group {shortened(worth['top_group'], 40)} has {share} of the weight"
    advice = [f"{trainer}: {text}" for trainer, text in manifest.turn_off.items()]
    if len(advice) > 1:
        advice = ["manifest.json says what each trainer must not do again (turn_off)"]
    lines = [", ".join(sizes), _checks(checklist(manifest)), _advantages(manifest.advantages)]
    notes = [f"note: {note}" for note in manifest.notes]
    return "\n".join([*lines, f"worth: {value}", *notes, *advice])


_VERDICTS = {"holds": "fine", "look": "look", "n/a": "n/a"}


def _checks(checks: Sequence[Check]) -> str:
    rows = [
        {"check": each.check, "verdict": _VERDICTS[each.verdict], "what was found": each.says}
        for each in checks
    ]
    return table(rows, wrap=True)


def _open_checks(manifest: Manifest) -> list[str]:
    """The checks of a batch that somebody should look at before training on it."""
    from workbench.exporters.checklist import checklist

    checks = [each for each in checklist(manifest) if each.verdict == "look"]
    return ["Checks of the batch that are not fine", _checks(checks)] if checks else []


def _advantages(found: Mapping[str, Any]) -> str:
    """The moments of a batch's advantages in one line."""
    if not found:
        return "advantages: not known"
    std = "not known" if found["std"] is None else number(found["std"])
    return (
        f"advantages of {number_of(found['steps'], 'trained step')}: mean "
        f"{number(found['mean'])}, std {std}, "
        f"{number(found['minimum'])} to {number(found['maximum'])}, {found['zero_share']:.1%} zero"
    )


def _files(result: RunResult) -> list[str]:
    lines = [f"  credit  {path}" for path in result.credits.values()]
    if result.exported is not None:
        lines.append(f"  batch   {result.exported} ({result.export_method})")
    return lines
