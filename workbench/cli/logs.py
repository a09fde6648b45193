"""Commands about logs: import, validate, facts, formats, simulate."""

from __future__ import annotations

import inspect
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.inputs import (
    print_report,
    read,
    read_mapping,
    require_other,
)
from workbench.cli.options import (
    AsJson,
    Format,
    Log,
    Map,
    Output,
    Params,
    SkipBad,
    as_json_text,
    field_values,
)
from workbench.cli.root import app
from workbench.errors import ParameterError, UnknownNameError


@app.command("import")
def import_files(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files, folders, globs.")],
    output: Output,
    format: Format = None,
    mapping: Annotated[Path | None, typer.Option("--map", help="JSON column mapping.")] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="Write broken trajectories here and go on.")
    ] = None,
    skip_bad: SkipBad = False,
    watch: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Look again every so many seconds and add what is new, until interrupted.",
        ),
    ] = None,
) -> None:
    """Read rollout logs of any known format into one step log, and report what was found.

    Files may be compressed with gzip or zstd, and lie at an address such as s3://bucket/run.
    """
    from workbench.readers import import_to
    from workbench.terminal import progress

    options: dict[str, Any] = {
        "format": format,
        "mapping": read_mapping(mapping),
        "quarantine": quarantine,
        "skip_bad": skip_bad,
    }
    if watch is not None:
        _watch(output, files, watch, options)
        return
    require_other(output, files)
    require_other(quarantine, files)
    with progress() as tell:
        report = import_to(output, files, progress=tell, **options)
    print_report(report, quarantine)
    print(f"wrote {output}\nnext: workbench run {output} -o work/")


def _watch(output: Path, files: list[str], interval: float, options: dict[str, Any]) -> None:
    """Looks at the files of a run that still writes, until the user interrupts."""
    from workbench.readers.watching import Watch
    from workbench.readers.writing import staging_folder

    left: dict[str, str] = {}
    with staging_folder(output) as folder, suppress(KeyboardInterrupt):
        run = Watch(output, files, interval=interval, folder=folder, **options)
        print(f"watching every {interval:g} s; interrupt to stop", flush=True)
        while True:
            found = run.look()
            for name, why in found.left.items():
                if left.get(name) != why:
                    print(f"left for the next look: {name}: {why}", flush=True)
            left = dict(found.left)
            if found.refused:
                print(f"not written: {found.refused}", flush=True)
            elif found.report is not None:
                new, rows = len(found.taken), found.report.rows
                print(f"wrote {output}: {new} files are new, {rows} rows in all", flush=True)
            time.sleep(interval)
    print(f"{len(left)} files are not in the log")


@app.command()
def validate(
    log: Log,
    format: Format = None,
    mapping: Map = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="Write broken trajectories here and go on.")
    ] = None,
    skip_bad: SkipBad = False,
) -> None:
    """Check a log against the rules of the step log: all problems at once."""
    read([log], format, mapping, quarantine, skip_bad=skip_bad, report=True)


@app.command()
def facts(log: Log, format: Format = None, mapping: Map = None, as_json: AsJson = False) -> None:
    """Say what is in a log: groups, success, dead groups, lengths, singletons."""
    from workbench.facts import facts as facts_of

    found = facts_of(read([log], format, mapping).validated.log)
    print(as_json_text(found.to_dict()) if as_json else "\n".join(found.lines()))


@app.command()
def formats() -> None:
    """List the formats that are read and the targets that are written."""
    from workbench.exporters import targets
    from workbench.readers import formats as read_formats
    from workbench.terminal import table

    rows = [{"read": name, "what": entry.description} for name, entry in read_formats().items()]
    print(table(rows), end="\n\n")
    print(table([{"write": name, "what": to.description} for name, to in targets().items()]))


@app.command()
def simulate(
    output: Output,
    world: Annotated[str, typer.Argument(metavar="WORLD", help="The world.")] = "household",
    tasks: Annotated[int, typer.Option(min=1, help="Groups.")] = 20,
    rollouts: Annotated[int, typer.Option(min=1, help="Trajectories of each group.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    params: Params = None,
) -> None:
    """Write a log of a small world whose true advantages are known exactly."""
    from workbench.simulate import find_world
    from workbench.simulate import simulate as simulate_world
    from workbench.store import atomic_file

    kind, dials = find_world(world), field_values(params)
    known = list(inspect.signature(kind).parameters)
    for name in dials:
        if name not in known:
            raise ParameterError(str(UnknownNameError(f"dial of {world}", name, known)))
    made = kind(**dials)
    log = simulate_world(made, tasks=tasks, rollouts=rollouts, seed=seed)
    with atomic_file(output) as temporary:
        log.write_parquet(temporary, compression="zstd")
    print(f"wrote {output}: {tasks} groups of {rollouts}, {log.height} steps")
