"""Commands about logs: import, validate, facts, keys, formats, simulate."""

from __future__ import annotations

import inspect
import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.inputs import (
    engine_chosen,
    import_options,
    open_space,
    read,
    read_opened,
    report_text,
    require_other,
)
from workbench.cli.options import (
    Address,
    AsJson,
    Cache,
    EmbedderName,
    EngineName,
    Jobs,
    LastActions,
    Logs,
    Output,
    Overwrite,
    Params,
    Reading,
    Template,
    as_json_text,
    reads_logs,
)
from workbench.cli.replacing import require_own_log
from workbench.cli.root import app, examples
from workbench.cli.values import field_values
from workbench.errors import ParameterError, UnknownNameError


@app.command(
    "import",
    epilog=examples(
        "workbench import rollouts/ -o log.parquet",
        "workbench import a.jsonl b.jsonl.gz --rewards rewards.csv -o log.parquet",
        "workbench import odd.csv --propose-map map.json",
    ),
)
@reads_logs
def import_files(
    logs: Logs,
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
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Read rollout logs of any known format into one step log, and report what was found.

    Records may be JSON lines, a JSON array, Parquet or CSV, compressed with gzip or zstd, and lie
    at an address such as s3://bucket/run or hf://datasets/owner/name.
    """
    from workbench.cli.progress import progress
    from workbench.readers import give_prefix_nodes, import_to

    if propose_map is not None:
        _propose_map(logs, reading["format"], propose_map, as_json=as_json)
        return
    if output is None:
        raise ParameterError("say where to write the log: -o log.parquet")
    if tree and watch is not None:
        raise ParameterError(
            "--tree needs a whole log; import without --watch once the run is over"
        )
    if as_json and watch is not None:
        raise ParameterError("--watch prints a line at every look; leave --json away")
    worker = engine_chosen(jobs, engine, address)
    if worker is not None and watch is not None:
        raise ParameterError("--watch reads one file at a time; leave --jobs and --engine away")
    quarantine = reading["quarantine"]
    options = {**import_options(reading), "quarantine": quarantine}
    require_other(output, logs)
    require_other(quarantine, logs)
    require_own_log(output, logs, overwrite=overwrite)
    if watch is not None:
        _watch(output, logs, watch, options)
        return
    with progress() as tell:
        report = import_to(output, logs, engine=worker, progress=tell, **options)
    shared = give_prefix_nodes(output) if tree else None
    scored = report.trajectories > sum(report.excluded.values())
    command = ["run", str(output), "-o", "work/"] if scored else ["facts", str(output)]
    if as_json:
        print(
            as_json_text(
                {
                    "log": output,
                    "quarantine": quarantine,
                    "report": report.to_dict(),
                    "tree": None if shared is None else str(shared),
                    "next": ["workbench", *command],
                }
            )
        )
        return
    print(report_text(report, quarantine))
    if shared is not None:
        print(shared)
    print(f"wrote {output}\nnext: workbench {' '.join(command)}")


def _propose_map(files: list[str], format: str | None, output: Path, *, as_json: bool) -> None:
    """Write the mapping that the names of the first file that takes one most likely need."""
    from workbench.readers import save_mapping
    from workbench.readers.importing import proposal_of

    require_other(output, files)
    found = proposal_of(files, format)
    save_mapping(output, found.mapping)
    if as_json:
        print(as_json_text({"map": output, "mapping": found.mapping, "open": found.open}))
        return
    print("\n".join(found.lines()))
    print(f"wrote {output}")
    if found.open:
        print(f"name {', '.join(found.open)} in it, then: ", end="")
    else:
        print("next: ", end="")
    print(f"workbench import {' '.join(files)} --map {output} -o log.parquet")


def _watch(output: Path, files: list[str], interval: float, options: dict[str, Any]) -> None:
    """Look at the files of a run that still writes, until the user interrupts."""
    from workbench.files import staging_folder
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


@app.command(
    epilog=examples(
        "workbench validate log.parquet", "workbench validate rollouts/ --quarantine bad.parquet"
    )
)
@reads_logs
def validate(logs: Logs, as_json: AsJson = False, *, reading: Reading) -> None:
    """Check a log against the rules of the step log: all problems at once."""
    from workbench.log.remarks import of_log, of_outcomes

    imported = read(logs, reading, told=False)
    frame = imported.validated.log
    remarks = [one for one in (*of_log(frame), of_outcomes(frame)) if one is not None]
    if as_json:
        report = imported.report.to_dict()
        print(as_json_text({"report": report, "remarks": [str(one) for one in remarks]}))
        return
    print(report_text(imported.report, reading["quarantine"]))
    for remark in remarks:
        print(f"note              {remark}")


@app.command(epilog=examples("workbench facts household", "workbench facts log.parquet --json"))
@reads_logs
def facts(logs: Logs, as_json: AsJson = False, *, reading: Reading) -> None:
    """Report the facts of a log: groups, success, dead groups, lengths, singletons."""
    from workbench.log.facts import facts as facts_of

    imported = read(logs, reading)
    found = facts_of(imported.validated.log)
    print(as_json_text(found.to_dict()) if as_json else "\n".join(found.lines()))


@app.command(
    epilog=examples(
        "workbench keys",
        "workbench keys household --state-key similar:threshold=0.9 --embedder tfidf",
    )
)
@reads_logs
def keys(
    logs: Annotated[
        list[str] | None,
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
    top: Annotated[int, typer.Option(min=1, help="Labels to print.")] = 5,
    *,
    reading: Reading,
) -> None:
    """Report which steps of a log share a state or an action under a key."""
    from workbench.cli.output import key_summary
    from workbench.cli.tables import table
    from workbench.states.keys import parse_action_key, parse_state_key
    from workbench.states.keys.report import Kind, key_report, key_table

    if not logs:
        kinds: tuple[Kind, ...] = ("state", "action")
        tables = {kind: key_table(kind) for kind in kinds}
        if as_json:
            print(as_json_text(tables))
            return
        print("\n\n".join(table(rows, wrap=True) for rows in tables.values()))
        return
    parse_state_key(state_key)
    asked: dict[Kind, str] = {"state": state_key}
    if action_key is not None:
        parse_action_key(action_key)
        asked["action"] = action_key
    opened = read_opened(logs, reading, cache)
    with open_space(opened, embedder, state, last_actions) as space:
        reports = [key_report(space, spec, kind) for kind, spec in asked.items()]
    if as_json:
        print(as_json_text([report.to_dict(top) for report in reports]))
        return
    print("\n\n".join(key_summary(report, top) for report in reports))


@app.command(epilog=examples("workbench formats", "workbench formats --json"))
def formats(as_json: AsJson = False) -> None:
    """List the formats that are read and the targets that are written."""
    from workbench.cli.tables import table
    from workbench.exporters.base import TARGETS
    from workbench.readers.base import FORMATS

    read = {name: entry.description for name, entry in FORMATS.items()}
    written = {name: to.description for name, to in TARGETS.items()}
    if as_json:
        print(as_json_text({"read": read, "write": written}))
        return
    rows = [{"read": name, "what": text} for name, text in read.items()]
    print(table(rows, wrap=True), end="\n\n")
    rows = [{"write": name, "what": text} for name, text in written.items()]
    print(table(rows, wrap=True))


@app.command(epilog=examples("workbench simulate household --tasks 5 -o log.parquet"))
def simulate(
    output: Output,
    world: Annotated[str, typer.Argument(metavar="WORLD", help="The world.")] = "household",
    tasks: Annotated[int, typer.Option(min=1, help="Groups.")] = 20,
    rollouts: Annotated[int, typer.Option(min=1, help="Trajectories of each group.")] = 8,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    params: Params = None,
    as_json: AsJson = False,
) -> None:
    """Write a log of a small world whose true advantages are known exactly."""
    from workbench.files import atomic_file
    from workbench.simulate import WORLDS
    from workbench.simulate import simulate as simulate_world
    from workbench.wording import number_of

    kind, dials = WORLDS[world], field_values(params, world)
    known = list(inspect.signature(kind).parameters)
    for name in dials:
        if name not in known:
            raise ParameterError(str(UnknownNameError(f"dial of {world}", name, known)))
    made = kind(**dials)
    log = simulate_world(made, tasks=tasks, rollouts=rollouts, seed=seed)
    with atomic_file(output) as temporary:
        log.write_parquet(temporary, compression="zstd")
    if as_json:
        print(as_json_text({"log": output, "groups": tasks, "rows": log.height}))
        return
    size = f"{number_of(tasks, 'group')} of {rollouts}, {number_of(log.height, 'step')}"
    print(f"wrote {output}: {size}")
