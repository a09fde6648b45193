"""Batches of a log in the order of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from workbench.log.steps import Steps


def runs(steps: Steps) -> Iterator[Sequence[int]]:
    """The batches of each run in order of time; one that names no update is by itself."""
    found: dict[Any, list[tuple[int, int]]] = defaultdict(list)
    for batch in range(steps.batches):
        run, update = steps.update_of(batch)
        if update is None:
            yield [batch]
        else:
            found[run].append((update, batch))
    for of_run in found.values():
        yield [batch for _, batch in sorted(of_run)]
