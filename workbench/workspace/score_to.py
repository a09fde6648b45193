"""From files to the file of a credit, whatever the size of the log."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from workbench.engines import Engine, Here
from workbench.errors import ParameterError
from workbench.files import remove_folder
from workbench.log.credit import Provenance, ScoredCredit, write_credit
from workbench.methods import create, registered
from workbench.methods.scoring import provenance
from workbench.states.text import StateText
from workbench.wording import Progress, silent
from workbench.workspace.in_parts import score_in_parts
from workbench.workspace.on_disk import on_disk
from workbench.workspace.partitions import ROWS


def score_to(
    output: str | Path,
    sources: Sequence[str | Path],
    method: str,
    *,
    params: Mapping[str, Any] | None = None,
    embedder: str | None = None,
    state_text: StateText | None = None,
    cache: str | Path | None = None,
    allow_unchained: bool = False,
    engine: Engine | None = None,
    check: Callable[[Provenance], None] = lambda made: None,
    quarantine: Path | None = None,
    noted: Callable[[Mapping[str, Any]], None] = lambda report: None,
    rows: int = ROWS,
    progress: Progress = silent,
    **reading: Any,
) -> tuple[ScoredCredit, pl.DataFrame]:
    """Read files and write the credit of every step, in parts, with little in memory.

    The credit is that of `score` on the whole log, bit for bit. Until it is there, the log and
    what is scored of it lie in a hidden folder next to it, where the same call finds them after an
    interruption.

    Args:
        output: The credit, as `write_credit` writes it.
        sources: Files, folders or globs of one format.
        method: "method", "method:dialect" or "FILE.py:Class".
        params: Fields of the method that differ from its values.
        embedder: Representation for methods that need similarities; as for `open_log` by default.
        state_text: What text of a step stands for its state.
        cache: Folder for vectors; the workspace's or the user's own by default.
        allow_unchained: As for `open_log`.
        engine: What works on the parts; this process by default. See `engines.engine_of`.
        check: Told how the credit will be made, before it is.
        quarantine: Where trajectories that break a rule go; without it they are refused.
        noted: Told what the import reports, as data.
        rows: Rows of a part. A part holds whole groups, whole batches for a method that compares
            across them, or whole runs for one that learns from earlier batches, and has more rows
            where such a unit has.
        progress: Told about progress.
        **reading: As for `import_to`: format, mapping, skip_bad, untrained, keep_masked,
            max_unpacked, max_nesting, rewards.

    Returns:
        The credit, and the log without its texts.

    Raises:
        WorkbenchError: What reading or scoring is refused for.
    """
    place = Path(output)
    if rows < 1:
        raise ParameterError(f"a part has at least 1 row, got {rows}")
    made = create(registered(method), params)
    hidden = place.parent / f".{place.name}.parts"
    read = on_disk(
        sources,
        hidden,
        reading,
        needed=made.needs(),
        cache=cache,
        quarantine=quarantine,
        engine=engine,
        noted=noted,
        progress=progress,
    )
    space = read.opened.space(embedder, state_text, progress, allow_unchained=allow_unchained)
    check(provenance(space, method, made))
    credits = score_in_parts(
        read.log.path,
        space,
        {method: made},
        engine=engine or Here(),
        folder=hidden,
        cache=read.cache,
        rows=rows,
        progress=progress,
    )
    write_credit(place, credits[method])
    remove_folder(hidden, ignore_errors=True)
    return credits[method], space.steps.log
