"""Progress of long commands on standard error: a bar, or lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.wording import Progress


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar with rate and time left for the stage under way; lines where there is no terminal."""
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
        with _lines() as told:
            yield told
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


@contextmanager
def _lines(
    first: float = 5.0, interval: float = 30.0, clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A line on standard error when a stage begins, now and then in a long one, and at the end.

    Args:
        first: Seconds until the second line of a stage; each wait is twice the one before.
        interval: The longest of them.
        clock: Seconds from any moment.
    """
    start = clock()
    now, began, last, wait, before = "", start, start, first, 0

    def say(text: str) -> None:
        print(f"{clock() - start:7.1f} s  {text}", file=sys.stderr, flush=True)

    def tell(stage: str, done: int, total: int) -> None:
        nonlocal now, began, last, wait, before
        here = clock()
        if stage != now:
            now, began, last, wait, before = stage, here, here, first, done
            say(f"{stage} {_count(done, total) if done else ''}".rstrip())
        elif here - last >= wait:
            last, wait = here, min(2 * wait, interval)
            pace = (done - before) / (here - began) if done else 0.0
            told = [f"{stage} {_count(done, total)}".rstrip(), _pace(pace, total - done)]
            say(", ".join(filter(None, told)))

    try:
        yield tell
    except BaseException:
        if now:
            say(f"stopped in {now}")
        raise
    if now:
        say("done")


def _count(done: int, total: int) -> str:
    return f"{done:,} of {total:,}" if total else f"{done:,}" if done else ""


def _pace(pace: float, left: int) -> str:
    """Rate per second, and the time that the rest takes at it.

    Example:
        >>> _pace(52.4, 9000), _pace(0.5, 30), _pace(0.0, 30)
        ('52/s, 2:51 left', '0.5/s, 1:00 left', '')
    """
    if not pace:
        return ""
    rate = f"{pace:,.0f}/s" if pace >= 10 else f"{pace:.1f}/s"
    if left <= 0:
        return rate
    minutes, seconds = divmod(int(left / pace), 60)
    hours, minutes = divmod(minutes, 60)
    time_left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return f"{rate}, {time_left} left"
