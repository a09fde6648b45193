"""What the command line shows: plain tables, numbers, a progress bar on standard error."""

from __future__ import annotations

import glob
import importlib.util
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import MissingDependencyError, ParameterError
from workbench.readers.bundled import app_script, bundled_logs
from workbench.wording import number, shortened, silent

if TYPE_CHECKING:
    from workbench.exporters import Manifest
    from workbench.log.facts import Facts
    from workbench.states.keys.report import KeyReport
    from workbench.states.text import StateText
    from workbench.wording import Progress
    from workbench.workspace.pipeline import RunResult


def table(
    rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None, *, width: int = 60
) -> str:
    """Rows as aligned text, numbers to the right.

    Args:
        rows: All with the same keys.
        columns: Which keys, in which order; all by default.
        width: Longer cells are cut with ….
    """
    if not rows:
        return "(none)"
    names = list(columns or rows[0])
    filled = ([shortened(number(row[name]), width) for name in names] for row in rows)
    cells = [names, *filled]
    widths = [max(len(line[k]) for line in cells) for k in range(len(names))]
    right = [all(isinstance(row[name], int | float | None) for row in rows) for name in names]
    lines = []
    for line in cells:
        padded = (
            cell.rjust(wide) if to_right else cell.ljust(wide)
            for cell, wide, to_right in zip(line, widths, right, strict=True)
        )
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def key_summary(report: KeyReport, top: int) -> str:
    """What a key makes of a log: its numbers, its largest labels, and what it merges."""
    largest = [
        {**row, "texts": row["texts"][0]} for row in report.largest.drop("label").to_dicts()[:top]
    ]
    parts = ["\n".join(report.lines()), f"largest labels\n{table(largest, width=80)}"]
    for row in report.merged.to_dicts()[:top]:
        lines = [shortened(text, 140) for text in _from_difference(row["texts"])]
        title = f"taken for one in {row['group_id']}: {row['distinct']} texts, {row['steps']} steps"
        parts.append("\n".join([title, *(f"  {line}" for line in lines[:top])]))
        if len(lines) > top:
            parts[-1] += f"\n  … and {len(lines) - top} more"
    return "\n\n".join(parts)


def _from_difference(texts: Sequence[str]) -> list[str]:
    """Texts that begin alike, from shortly before they differ."""
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    same = next((place for place, (left, right) in pairs if left != right), len(first))
    cut = max(0, same - 40)
    return [f"…{text[cut:]}" if cut else text for text in texts]


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar with rate and time left for the stage under way; nothing where no one watches."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import (
        Progress as Bar,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield silent
        return
    bar = Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, Any] = {}

    def tell(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            for earlier in tasks.values():
                bar.stop_task(earlier)
            tasks[stage] = bar.add_task(stage, total=total or None, rate="")
        task = tasks[stage]
        speed = bar.tasks[task].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        bar.update(task, completed=done, total=total or None, rate=rate)

    with bar:
        yield tell


def run_summary(result: RunResult) -> str:
    """What a run found and made, and what to type next."""
    mixed = result.facts.mixed_policies
    blocks = [f"note: {mixed}"] if mixed else []
    blocks += [*_in_short(result.facts), ""]
    comparison = result.comparison
    if comparison is not None:
        columns = ("credit", "scored", "mean", "std", "minimum", "maximum", "zero")
        blocks += ["Credit of each method", table(comparison.credits.to_dicts(), columns), ""]
        pairs = ("left", "right", "spearman", "sign_flips", "sign_flip_share")
        blocks += ["Methods compared", table(comparison.pairs.to_dicts(), pairs), ""]
    blocks += [f"note ({name}): {note}" for name, notes in result.notes.items() for note in notes]
    notices = result.report.get("notices", ())
    blocks += [f"note: {note}" for note in notices if note != mixed]
    if result.no_batch is not None:
        blocks.append(f"note ({result.export_method}): no batch is exported; {result.no_batch}")
    made = len(result.built)
    reused = "everything was there already" if not made else f"{made} artefacts made"
    blocks += [f"Workspace {result.workspace}: {reused}", *_files(result)]
    return "\n".join(blocks)


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
    own += [str(path.resolve()) for path in paths.values()]
    return [sys.executable, "-m", "streamlit", "run", str(app_script()), *options, "--", *own]


def export_summary(manifest: Manifest) -> str:
    """What a batch holds, whether it is sound, what it is worth, what its trainer must leave."""
    from workbench.exporters.checklist import checklist
    from workbench.exporters.selection import REASONS

    counts, worth = manifest.counts, manifest.worth
    size = [f"{counts['rows']:,} rows", f"{counts['steps']:,} steps"]
    size += [f"{counts['tokens']:,} tokens"] if "tokens" in counts else []
    size += [
        f"left out {lost['trajectories']:,} trajectories of {lost['steps']:,} steps "
        f"({REASONS.get(reason, reason)})"
        for reason, lost in manifest.dropped.items()
        if lost["steps"]
    ]
    verdicts = {"holds": "fine", "look": "look", "n/a": "n/a"}
    rows = [
        {
            "check": finding.check,
            "verdict": verdicts[finding.verdict],
            "what was found": finding.says,
        }
        for finding in checklist(manifest)
    ]
    pull = f"{worth['pulling']:,} of {worth['steps']:,} trained steps"
    if worth["tokens"] is not None:
        pull += f" and {worth['pulling_tokens']:,} of {worth['tokens']:,} trained tokens"
    value = f"{pull} pull at the policy, as much as {number(worth['effective_steps'])} equal steps"
    if worth["pulling"]:
        share = f"{worth['top_group_share']:.1%}"
        value += f"; group {shortened(worth['top_group'], 40)} has {share} of the weight"
    advice = [f"{trainer}: {text}" for trainer, text in manifest.turn_off.items()]
    if len(advice) > 1:
        advice = ["manifest.json says what each trainer must not do again (turn_off)"]
    return "\n".join([", ".join(size), table(rows, width=200), f"worth: {value}", *advice])


def _files(result: RunResult) -> list[str]:
    lines = [f"  credit  {path}" for path in result.credits.values()]
    if result.exported is not None:
        lines.append(f"  batch   {result.exported} ({result.export_method})")
    return lines
