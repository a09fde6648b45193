"""From files to a batch, part by part, whatever the size of the log.

A worker lays out the groups of its part, writes them and reads them back; the driver selects steps
by ids, rewards and advantages alone, and puts the files of the parts one behind the other.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.engines import Engine, Here, results
from workbench.errors import ParameterError
from workbench.exporters import TARGETS, Exporter, Manifest
from workbench.exporters.assembly import described, notes_of, worth_of
from workbench.exporters.folder import require_place
from workbench.exporters.laid_out import Told
from workbench.exporters.options import Options
from workbench.exporters.selection import Selection, counts, select
from workbench.files import staging_folder
from workbench.log.credit import Provenance, ScoredCredit, read_credit
from workbench.log.steps import Steps
from workbench.wording import Progress, silent
from workbench.workspace.on_disk import on_disk
from workbench.workspace.opened import OpenedLog
from workbench.workspace.partitions import Part, bytes_per_row, partition

BYTES = 2**25
"""Bytes of a log, unpacked, that are laid out at once, unless a group alone has more."""

_ROW = "row in part"
_IDS = ("prompt_ids", "response_ids")
_CHOSEN = (
    "advantage",
    "excluded",
    "gradient_mask",
    "untrained",
    "clipped",
    "episode_reward",
)
"""Columns of a step in a selection."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A part of a log that is to be written.

    Args:
        part: The rows.
        target: Name of the target.
        options: What the user asks for.
        made: How the credit was made.
        token_level: Whether rows hold token ids.
        folder: Where `chosen.parquet` says which rows are selected; files and what they tell go
            there too.
    """

    part: Part
    target: str
    options: Mapping[str, Any]
    made: Provenance
    token_level: bool
    folder: Path

    def __str__(self) -> str:
        return str(self.part)


def write_part(task: Task) -> None:
    """Lay out and write the groups of a part."""
    chosen = pl.read_parquet(task.folder / "chosen.parquet", glob=False)
    steps = task.part.read()[chosen[_ROW]].with_columns(chosen.drop(_ROW))
    target, whole = TARGETS[task.target], counts(steps)
    selection = Selection(
        steps=steps,
        token_level=task.token_level,
        input=whole,
        dropped={},
        masks_changed=0,
    )
    # What a worker that was lost had begun is done again.
    shutil.rmtree(_files(task), ignore_errors=True)
    told = target.save_part(selection, task.made, target.options_of(task.options), _files(task))
    told.write(task.folder)


def _files(task: Task) -> Path:
    return task.folder / "files"


def divisible(target: Exporter, options: Options) -> bool:
    """True if a batch can be written part by part; see `require_divisible`."""
    return not _whole(target, options)


def require_divisible(target: Exporter, options: Options) -> None:
    """Refuse a batch that can only be written whole.

    Raises:
        ParameterError: The target writes one object, or an option asks for texts of the whole log:
            to say which steps are trained, what is replaced, or what a chat template refuses.
    """
    reasons = _whole(target, options)
    if reasons:
        raise ParameterError(
            f"{', '.join(reasons)} cannot be exported in parts: the whole log has to be in memory. "
            "Hint: leave --jobs and --engine away (in Python `export` in place of `export_to`)"
        )


def _whole(target: Exporter, options: Options) -> list[str]:
    """Parts of a batch that need the whole log."""
    asked = {
        f"the target {target.name}": not target.appends,
        "filter": options.filter is not None,
        "marked": options.marked != "all",
        "redact": options.redact is not None,
        "template_loss=allow": options.template_loss == "allow",
    }
    return [name for name, holds in asked.items() if holds]


def export_in_parts(
    path: Path,
    log: pl.DataFrame,
    credit: ScoredCredit,
    target: Exporter,
    directory: Path,
    *,
    options: Mapping[str, Any],
    engine: Engine,
    bytes_at_once: int = BYTES,
    progress: Progress = silent,
) -> Manifest:
    """Write the batch of a log that is `divisible`, with a part of it in memory at a time.

    Args:
        path: The log, as Parquet, in canonical order.
        log: The same without its texts, see `partitions.narrow`.
        credit: The credit of the same steps.
        target: Who writes.
        directory: The folder to make.
        options: The target's own.
        engine: What works on the parts.
        bytes_at_once: Bytes of the log, unpacked, of a part.
        progress: Told how many parts are done.

    Returns:
        The manifest; it and all files are byte for byte those of `target(whole log, …)`.

    Raises:
        WorkbenchError: What `Exporter` says; of a step that breaks a rule, those of its part.
    """
    asked = target.options_of(options)
    require_place(directory, overwrite=asked.overwrite)
    numbered = _with_ids(path, log).with_row_index(_ROW)
    texts = target.layout.contents == "texts"
    selection = select(numbered, credit.table, asked, texts=texts)
    rows = max(1, bytes_at_once // bytes_per_row(path))
    with staging_folder(directory) as staging:
        parts = partition(path, Steps.from_log(log), "group", staging, rows=rows).parts
        tasks = [
            Task(
                part=part,
                target=target.name,
                options=options,
                made=credit.provenance,
                token_level=selection.token_level,
                folder=staging / f"{number:06}",
            )
            for number, part in enumerate(parts)
        ]
        tasks = [task for task in tasks if _selected(task, selection.steps)]
        results(engine, write_part, tasks, "export", progress)
        told = Told.joined([Told.read(task.folder) for task in tasks])
        manifest = described(
            selection,
            told,
            credit.provenance,
            target.layout,
            asked,
            value=worth_of(told),
            notes=notes_of(log, credit),
        )
        written = [_files(task) for task in tasks if _files(task).is_dir()]
        return target.save_joined(written, manifest, directory, overwrite=asked.overwrite)


def _with_ids(path: Path, log: pl.DataFrame) -> pl.DataFrame:
    """The log with columns for token ids that say whether there are any, true or null."""
    scan = pl.scan_parquet(path, glob=False)
    known = [name for name in _IDS if name in scan.collect_schema()]
    there = [pl.when(pl.col(name).is_not_null()).then(True).alias(name) for name in known]
    return log.with_columns(scan.select(there).collect(engine="streaming")) if there else log


def _selected(task: Task, steps: pl.DataFrame) -> bool:
    """Write which rows of a part are selected; whether there are any."""
    start, stop = (
        steps[_ROW].search_sorted(at) for at in (task.part.start, task.part.start + task.part.rows)
    )
    here = steps[start:stop].select(pl.col(_ROW) - task.part.start, *_CHOSEN)
    if here.is_empty():
        return False
    task.folder.mkdir()
    here.write_parquet(task.folder / "chosen.parquet")
    return True


def export_to(
    directory: str | Path,
    sources: Sequence[str | Path],
    credit: str | Path | ScoredCredit,
    *,
    target: str = "weighted-batch",
    options: Mapping[str, Any] | None = None,
    engine: Engine | None = None,
    quarantine: Path | None = None,
    check: Callable[[OpenedLog], None] = lambda opened: None,
    noted: Callable[[Mapping[str, Any]], None] = lambda report: None,
    progress: Progress = silent,
    **reading: Any,
) -> tuple[Manifest, pl.DataFrame]:
    """Read files and write a batch for a trainer, in parts, with little in memory.

    The batch is that of `export`, byte for byte.

    Args:
        directory: The folder to make.
        sources: Files, folders or globs of one format.
        credit: The credit of the same log, or its file.
        target: A name of `workbench formats`.
        options: The target's own. Not those that ask for texts of the whole log: filter, marked,
            redact, template_loss="allow".
        engine: What works on the parts; this process by default. See `engines.engine_of`.
        quarantine: Where trajectories that break a rule go; without it they are refused.
        check: Told the log without its texts, before anything is written.
        noted: Told what the import reports, as data.
        progress: Told about progress.
        **reading: As for `import_to`: format, mapping, skip_bad, untrained, keep_masked,
            max_unpacked, max_nesting, rewards.

    Returns:
        The manifest, and the log without its texts.

    Raises:
        UnknownNameError: There is no such target.
        ParameterError: The batch can only be written whole.
        WorkbenchError: What reading or exporting is refused for.
    """
    place, exporter = Path(directory), TARGETS[target]
    asked = exporter.options_of(options or {})
    require_place(place, overwrite=asked.overwrite)
    require_divisible(exporter, asked)
    scored = credit if isinstance(credit, ScoredCredit) else read_credit(Path(credit))
    with staging_folder(place) as hidden:
        read = on_disk(
            sources,
            hidden,
            reading,
            quarantine=quarantine,
            engine=engine,
            noted=noted,
            progress=progress,
        )
        check(read.opened)
        manifest = export_in_parts(
            read.log.path,
            read.opened.frame,
            scored,
            exporter,
            place,
            options=options or {},
            engine=engine or Here(),
            progress=progress,
        )
    return manifest, read.opened.frame
