"""What the command line shows: plain tables, numbers, a progress bar on standard error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.pipeline import Report, RunResult


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


def number(value: Any) -> str:
    """A value as a cell: four significant digits, – for null."""
    if value is None:
        return "–"
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value)
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def shortened(text: str, width: int) -> str:
    """The text on one line, cut with … where it is longer."""
    line = " ".join(text.split())
    return line if len(line) <= width else f"{line[: width - 1]}…"


@contextmanager
def progress() -> Iterator[Report]:
    """A bar with rate and time left for the stage under way; nothing where no one watches."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    bar = Progress(
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

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            for earlier in tasks.values():
                bar.stop_task(earlier)
            tasks[stage] = bar.add_task(stage, total=total or None, rate="")
        task = tasks[stage]
        speed = bar.tasks[task].speed
        rate = f"{speed:,.0f}/s" if speed else ""
        bar.update(task, completed=done, total=total or None, rate=rate)

    with bar:
        yield report


def run_summary(result: RunResult) -> str:
    """What a run found and made, and what to type next."""
    blocks = [*result.facts.lines(), ""]
    comparison = result.comparison
    if comparison is not None:
        columns = ("credit", "scored", "mean", "std", "minimum", "maximum", "zero")
        blocks += ["Credit of each method", table(comparison.credits.to_dicts(), columns), ""]
        pairs = ("left", "right", "spearman", "sign_flips", "sign_flip_share")
        blocks += ["Methods compared", table(comparison.pairs.to_dicts(), pairs), ""]
    blocks += [f"note ({name}): {note}" for name, notes in result.notes.items() for note in notes]
    blocks += [f"note: {note}" for note in result.report.get("notices", ())]
    made = len(result.built)
    reused = "everything was there already" if not made else f"{made} artefacts made"
    blocks += [f"Workspace {result.workspace}: {reused}", *_files(result)]
    return "\n".join(blocks)


def _files(result: RunResult) -> list[str]:
    lines = [f"  credit  {path}" for path in result.credits.values()]
    lines.append(f"  batch   {result.exported} ({result.export_method})")
    return lines
