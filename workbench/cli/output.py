"""What the command line shows: plain tables, numbers, a progress bar on standard error."""

from __future__ import annotations

import difflib
import glob
import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli.tables import table, terminal_width
from workbench.errors import MissingDependencyError, ParameterError
from workbench.readers.bundled import app_script, bundled_logs
from workbench.wording import number, number_of, shortened

if TYPE_CHECKING:
    import polars as pl

    from workbench.analysis.compare import Comparison
    from workbench.exporters import Manifest
    from workbench.exporters.checklist import Check
    from workbench.log.credit import Provenance
    from workbench.log.facts import Facts
    from workbench.states.keys.report import KeyReport
    from workbench.states.text import StateText
    from workbench.workspace.pipeline import RunResult


def key_summary(report: KeyReport, top: int) -> str:
    """What a key makes of a log: its numbers, its largest labels, and what it merges."""
    largest = [
        {**row, "texts": row["texts"][0]} for row in report.largest.drop("label").to_dicts()[:top]
    ]
    parts = ["\n".join(report.lines()), f"largest labels\n{table(largest, width=80)}"]
    for row in report.merged.to_dicts()[:top]:
        lines = [shortened(text, terminal_width() - 2) for text in _marked(row["texts"])]
        title = f"taken for one in {row['group_id']}: " + ", ".join(
            [number_of(row["distinct"], "text"), number_of(row["steps"], "step")]
        )
        parts.append("\n".join([title, *(f"  {line}" for line in lines[:top])]))
        if len(lines) > top:
            parts[-1] += f"\n  … and {len(lines) - top} more"
    return "\n\n".join(parts)


def _marked(texts: Sequence[str]) -> list[str]:
    """Texts with [the words] in which they differ from the first, or it from the second.

    Those that begin alike are shown from shortly before they differ.
    """
    words = [text.split() for text in texts]
    shortest = min(map(len, words))
    same = next((k for k in range(shortest) if len({each[k] for each in words}) > 1), shortest)
    cut = max(0, same - 8)
    compared = [each[cut : cut + _COMPARED] for each in words]
    marked = []
    for k, each in enumerate(compared):
        other = compared[0] if k else compared[min(1, len(compared) - 1)]
        marked.append(("… " if cut else "") + _with_marks(each, other))
    return marked


_COMPARED = 200
"""So many words of a text are compared from where it differs."""


def _with_marks(words: Sequence[str], other: Sequence[str]) -> str:
    parts = []
    matcher = difflib.SequenceMatcher(None, other, words, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind == "delete":
            # A place where only the other has words.
            parts.append("[]")
        elif kind == "equal":
            parts += words[start:end]
        else:
            parts.append(f"[{' '.join(words[start:end])}]")
    return " ".join(parts)


def disagreements(comparison: Comparison, log: pl.DataFrame | None) -> str:
    """The steps on which each pair differs most, with what they saw and did if a log is there."""
    parts = ["largest disagreements, in standard deviations of each credit"]
    found = comparison.disagreements
    if log is not None:
        on = ["trajectory_id", "step_index"]
        texts = log.select(*on, "observation", "action")
        found = found.join(texts, on=on, how="left", maintain_order="left")
    for (left, right), rows in found.group_by(["left", "right"], maintain_order=True):
        shown = rows.drop("left", "right", "group_id").rename(
            {
                "left_advantage": str(left),
                "right_advantage": str(right),
                "standardised_difference": "standardised",
            }
        )
        parts.append(table(shown.to_dicts(), width=200))
    if log is None:
        parts.append("note: --log LOG shows what these steps saw and did")
    return "\n\n".join(parts)


def run_summary(result: RunResult) -> str:
    """What a run found and made, and what to type next."""
    from workbench.readers.report import in_short

    mixed = result.facts.mixed_policies
    blocks = [f"note: {mixed}"] if mixed else []
    blocks += [*_in_short(result.facts), ""]
    credits = result.advantages.to_dicts()
    columns = ("credit", "scored", "mean", "std", "minimum", "maximum", "zero", "zero_share")
    blocks += ["Credit of each method", table(credits, columns), ""]
    comparison = result.comparison
    if comparison is not None:
        pairs = ("left", "right", "spearman", "sign_flips", "sign_flip_share")
        blocks += ["Methods compared", table(comparison.pairs.to_dicts(), pairs), ""]
    blocks += _notes(result.notes)
    notices = [note for note in result.report.get("notices", ()) if note != mixed]
    blocks += [f"note: {note}" for note in in_short(result.report.get("left_out", ()), notices)]
    if result.quarantined is not None:
        blocks.append(f"note: what was set aside is in {result.quarantined}")
    if result.manifest is not None:
        blocks += _open_checks(result.manifest)
    if result.no_batch is not None:
        blocks.append(f"note ({result.export_method}): no batch is exported; {result.no_batch}")
    blocks.append(_whose_credit(result))
    made = len(result.built)
    reused = f"{number_of(made, 'artefact')} made" if made else "everything was there already"
    blocks += [f"Workspace {result.workspace}: {reused}", *_files(result)]
    return "\n".join(blocks)


def _whose_credit(result: RunResult) -> str:
    """The credit that the batch carries, and the one that is advised."""
    carried = f"The batch carries the credit of {result.export_method}"
    if result.advice.credit == result.export_method:
        return f"{carried}, which is the one advised: {result.advice.why}."
    advised = result.advice.credit or "none"
    return f"{carried}; advised is {advised}: {result.advice.why}. See `workbench advise`."


def _notes(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """What every credit says once, as it is of the log; the rest with its methods."""
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
    return [facts.sentence(), " ".join(said)]


def next_command(result: RunResult) -> str:
    """Explains the step on which the first and the last method differ most, as it was scored."""
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
        size = pl.col("advantage").abs()
        rows = credit.sort(size, descending=True, nulls_last=True, maintain_order=True)
    row = rows.row(0, named=True)
    return f"{row['trajectory_id']}:{row['step_index']}"


def _matches(pattern: str) -> bool:
    return bool(glob.glob(pattern))  # noqa: PTH207  it takes absolute patterns


def app_command(
    logs: Sequence[str],
    *,
    embedder: str | None,
    port: int,
    address: str,
    allow_path_input: bool,
    headless: bool | None,
    watch: Path | None = None,
) -> list[str]:
    """The command that starts the app; without a display it opens no browser.

    Raises:
        MissingDependencyError: Streamlit is not installed.
        ParameterError: A log is not there.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise MissingDependencyError(
            "`workbench app` needs the package streamlit, which is not installed. "
            "Hint: pip install streamlit plotly"
        )
    bundled = bundled_logs()
    paths = {log: Path(log) for log in logs}
    named = [log for log, path in paths.items() if log in bundled and not path.exists()]
    paths |= {log: bundled[log] for log in named}
    missing = [log for log, path in paths.items() if not path.exists() and not _matches(log)]
    if missing:
        raise ParameterError(
            f"{missing[0]} does not exist. Hint: a path, or a bundled log: {', '.join(bundled)}"
        )
    if headless is None:
        seen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        headless = sys.platform.startswith("linux") and not seen
    server = {
        "server.port": port,
        "server.address": address,
        "server.headless": str(headless).lower(),
    }
    options = [part for name, value in server.items() for part in (f"--{name}", str(value))]
    own = ["--embedder", embedder] if embedder else []
    own += ["--allow-path-input"] if allow_path_input else []
    if watch is not None:
        if not watch.is_dir():
            raise ParameterError(f"--watch {watch}: there is no such folder")
        own += ["--watch", str(watch.resolve())]
    own += [str(path.resolve()) for path in paths.values()]
    return [sys.executable, "-m", "streamlit", "run", str(app_script()), *options, "--", *own]


def print_warning(made: Provenance) -> None:
    """Says on the error output where a credit at its defaults trained worse than the control."""
    from workbench.analysis.evidence import warning
    from workbench.methods import METHODS, create

    known = made.name in METHODS
    if known and made.method.get("fields") == create(made.name).values:
        said = warning(made.name)
        if said is not None:
            print(f"note: {said}", file=sys.stderr)


def export_summary(manifest: Manifest) -> str:
    """What a batch holds, whether it is sound, what it is worth, what its trainer must leave."""
    from workbench.exporters.checklist import checklist
    from workbench.exporters.selection import REASONS

    counts, worth = manifest.counts, manifest.worth
    size = [number_of(counts["rows"], "row"), number_of(counts["steps"], "step")]
    size += [number_of(counts["tokens"], "token")] if "tokens" in counts else []
    size += [
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
    lines = [", ".join(size), _checks(checklist(manifest)), _advantages(manifest.advantages)]
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
    return ["", "Checks of the batch that are not fine", _checks(checks), ""] if checks else []


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
