"""Commands about logs: import, validate, facts, keys, formats, simulate."""

from __future__ import annotations

import inspect
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.inputs import (
    import_options,
    open_space,
    print_report,
    read,
    read_opened,
    require_other,
)
from workbench.cli.options import (
    AsJson,
    Cache,
    EmbedderName,
    LastActions,
    Log,
    Output,
    Params,
    Reading,
    Template,
    as_json_text,
    field_values,
    reads_logs,
)
from workbench.cli.root import app
from workbench.errors import ParameterError, UnknownNameError


@app.command("import")
@reads_logs
def import_files(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Files, folders, globs.")],
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Where to write.")
    ] = None,
    propose_map: Annotated[
        Path | None,
        typer.Option(
            "--propose-map",
            metavar="FILE",
            help="Write a column mapping of the file's names to start from, and import nothing.",
        ),
    ] = None,
    quarantine: Annotated[
        Path | None, typer.Option(help="Write broken trajectories here and go on.")
    ] = None,
    tree: Annotated[
        bool,
        typer.Option("--tree", help="Give rollouts that begin alike shared nodes (node_id)."),
    ] = False,
    watch: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0.1,
            help="Look again every so many seconds and add what is new, until interrupted.",
        ),
    ] = None,
    *,
    reading: Reading,
) -> None:
    """Read rollout logs of any known format into one step log, and report what was found.

    Records may be JSON lines, a JSON array, Parquet or CSV, compressed with gzip or zstd, and lie
    at an address such as s3://bucket/run or hf://datasets/owner/name.
    """
    from workbench.cli.output import progress
    from workbench.readers import give_prefix_nodes, import_to

    if propose_map is not None:
        _propose_map(files, reading["format"], propose_map)
        return
    if output is None:
        raise ParameterError("say where to write the log: -o log.parquet")
    if tree and watch is not None:
        raise ParameterError(
            "--tree needs a whole log; import without --watch once the run is over"
        )
    options = {**import_options(reading), "quarantine": quarantine}
    if watch is not None:
        _watch(output, files, watch, options)
        return
    require_other(output, files)
    require_other(quarantine, files)
    with progress() as tell:
        report = import_to(output, files, progress=tell, **options)
    print_report(report, quarantine)
    if tree:
        print(give_prefix_nodes(output))
    scored = report.trajectories > sum(report.excluded.values())
    command = f"run {output} -o work/" if scored else f"facts {output}"
    print(f"wrote {output}\nnext: workbench {command}")


def _propose_map(files: list[str], format: str | None, output: Path) -> None:
    """Writes the mapping that the names of the first file that takes one most likely need."""
    from workbench.readers import save_mapping
    from workbench.readers.importing import proposal_of

    require_other(output, files)
    found = proposal_of(files, format)
    save_mapping(output, found.mapping)
    print("\n".join(found.lines()))
    print(f"wrote {output}")
    if found.open:
        print(f"name {', '.join(found.open)} in it, then: ", end="")
    else:
        print("next: ", end="")
    print(f"workbench import {' '.join(files)} --map {output} -o log.parquet")


def _watch(output: Path, files: list[str], interval: float, options: dict[str, Any]) -> None:
    """Looks at the files of a run that still writes, until the user interrupts."""
    from workbench.readers.streaming import staging_folder
    from workbench.readers.watching import Watch
    from workbench.wording import are, number_of

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
                total = number_of(rows, "row")
                print(f"wrote {output}: {are(new, 'file')} new, {total} in all", flush=True)
            time.sleep(interval)
    print(f"{are(len(left), 'file')} not in the log")


@app.command()
@reads_logs
def validate(
    log: Log,
    quarantine: Annotated[
        Path | None, typer.Option(help="Write broken trajectories here and go on.")
    ] = None,
    *,
    reading: Reading,
) -> None:
    """Check a log against the rules of the step log: all problems at once."""
    from workbench.log.remarks import of_log, of_outcomes

    imported = read([log], reading, quarantine, report=True)
    frame = imported.validated.log
    for remark in (*of_log(frame), of_outcomes(frame)):
        if remark is not None:
            print(f"note              {remark}")


@app.command()
@reads_logs
def facts(
    log: Log,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Say what is in a log: groups, success, dead groups, lengths, singletons."""
    from workbench.log.facts import facts as facts_of

    imported = read([log], reading)
    found = facts_of(imported.validated.log)
    print(as_json_text(found.to_dict()) if as_json else "\n".join(found.lines()))


@app.command()
@reads_logs
def keys(
    log: Annotated[
        str | None,
        typer.Argument(metavar="[LOG]", help="A log; without one the keys are listed."),
    ] = None,
    state_key: Annotated[
        str, typer.Option(metavar="SPEC", help="State key, such as similar:threshold=0.9.")
    ] = "exact",
    action_key: Annotated[
        str | None, typer.Option(metavar="SPEC", help="Action key, such as tool.")
    ] = None,
    as_json: AsJson = False,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    top: Annotated[int, typer.Option(min=1, help="How many labels to print.")] = 5,
    *,
    reading: Reading,
) -> None:
    """Say which steps of a log are in the same state or take the same action under a key."""
    from workbench.cli.output import key_summary
    from workbench.cli.tables import table
    from workbench.states.keys import parse_action_key, parse_state_key
    from workbench.states.keys.report import Kind, key_report, key_table

    if log is None:
        kinds: tuple[Kind, ...] = ("state", "action")
        print("\n\n".join(table(key_table(kind), wrap=True) for kind in kinds))
        return
    parse_state_key(state_key)
    asked: dict[Kind, str] = {"state": state_key}
    if action_key is not None:
        parse_action_key(action_key)
        asked["action"] = action_key
    opened = read_opened(log, reading, cache)
    with open_space(opened, embedder, state, last_actions) as space:
        reports = [key_report(space, spec, kind) for kind, spec in asked.items()]
    if as_json:
        print(as_json_text([report.to_dict(top) for report in reports]))
        return
    print("\n\n".join(key_summary(report, top) for report in reports))


@app.command()
def formats() -> None:
    """List the formats that are read and the targets that are written."""
    from workbench.cli.tables import table
    from workbench.exporters.base import TARGETS
    from workbench.readers.base import FORMATS

    rows = [{"read": name, "what": entry.description} for name, entry in FORMATS.items()]
    print(table(rows, wrap=True), end="\n\n")
    rows = [{"write": name, "what": to.description} for name, to in TARGETS.items()]
    print(table(rows, wrap=True))


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
    from workbench.files import atomic_file
    from workbench.simulate import WORLDS
    from workbench.simulate import simulate as simulate_world
    from workbench.wording import number_of

    kind, dials = WORLDS[world], field_values(params)
    known = list(inspect.signature(kind).parameters)
    for name in dials:
        if name not in known:
            raise ParameterError(str(UnknownNameError(f"dial of {world}", name, known)))
    made = kind(**dials)
    log = simulate_world(made, tasks=tasks, rollouts=rollouts, seed=seed)
    with atomic_file(output) as temporary:
        log.write_parquet(temporary, compression="zstd")
    size = f"{number_of(tasks, 'group')} of {rollouts}, {number_of(log.height, 'step')}"
    print(f"wrote {output}: {size}")
