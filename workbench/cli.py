"""The command line: each command is a few lines over a function of the package.

Handlers import what they need, so that `workbench --help` and light commands start at once.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.errors import ParameterError, UnknownNameError, WorkbenchError

if TYPE_CHECKING:
    import polars as pl

    from workbench.readers import Imported
    from workbench.space import Space

app = typer.Typer(
    name="workbench",
    help="Trajectory analysis and credit assignment for LLM agents: rollout logs in, "
    "per-step advantages compared, weighted batches out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help starts twice as fast
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Log = Annotated[str, typer.Argument(metavar="LOG", help="A log: file, folder or glob.")]
Format = Annotated[
    str | None, typer.Option("--format", help="Format of the files; recognised by content.")
]
Map = Annotated[
    Path | None, typer.Option("--map", help="JSON file that maps columns: see the README.")
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="Leave out unreadable lines and say which.")
]
Params = Annotated[
    list[str] | None,
    typer.Option("-p", metavar="FIELD=VALUE", help="Set a field; values are read as JSON."),
]
MethodName = Annotated[str, typer.Option("-m", metavar="METHOD[:DIALECT]", help="The method.")]
StepName = Annotated[str, typer.Option("--step", metavar="TRAJECTORY:INDEX", help="The step.")]
EmbedderName = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        help="tfidf, or a sentence-transformers id or path. [default: all-MiniLM-L6-v2]",
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="TEMPLATE",
        help="State text of a step, from {observation}, {task}, {actions}.",
    ),
]
LastActions = Annotated[
    int,
    typer.Option(
        "--last-actions", min=0, max=100, help="How many previous actions {actions} holds."
    ),
]
Cache = Annotated[
    Path | None,
    typer.Option(
        "--cache", help="Folder for vectors. [default: the log's workspace, or the user's cache]"
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[Path, typer.Option("-o", metavar="FILE", help="Where to write.")]


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
) -> None:
    """Read rollout logs of any known format into one step log, and report what was found."""
    from workbench.store import atomic_file

    _require_other(output, files)
    imported = _read(files, format, mapping, quarantine, skip_bad=skip_bad, report=True)
    with atomic_file(output) as temporary:
        imported.validated.log.write_parquet(temporary, compression="zstd")
    print(f"wrote {output}\nnext: workbench run {output} -o work/")


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
    _read([log], format, mapping, quarantine, skip_bad=skip_bad, report=True)


@app.command()
def facts(log: Log, format: Format = None, mapping: Map = None, as_json: AsJson = False) -> None:
    """Say what is in a log: groups, success, dead groups, lengths, singletons."""
    from workbench.facts import facts as facts_of

    found = facts_of(_read([log], format, mapping).validated.log)
    print(_json(found.to_dict()) if as_json else "\n".join(found.lines()))


@app.command()
def score(
    log: Log,
    method: MethodName,
    output: Output,
    params: Params = None,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    format: Format = None,
    mapping: Map = None,
) -> None:
    """Score every step under one method and write the credit."""
    from workbench.artefacts import provenance
    from workbench.estimators import create
    from workbench.pipeline import source_digest
    from workbench.store import write_credit

    made = create(method, _params(params))
    _require_other(output, [log])
    imported = _read([log], format, mapping)
    with _space(imported, embedder, state, last_actions, cache) as space:
        credit = made(space.steps, space)
        log_sha256 = source_digest(imported.report.files)
        made_by = provenance(method, made, space, log_sha256, credit)
    write_credit(output, credit.table(), made_by)
    for note in made_by["notes"]:
        print(f"note: {note}", file=sys.stderr)
    print(f"wrote {output}: {len(space.steps)} of {space.steps.log.height} steps scored")


@app.command()
def explain(
    log: Log,
    method: MethodName,
    step: StepName,
    as_json: AsJson = False,
    params: Params = None,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    format: Format = None,
    mapping: Map = None,
    top: Annotated[int, typer.Option(help="How many peers of each term to print.")] = 5,
) -> None:
    """Say what the advantage of one step is made of."""
    from workbench.estimators import create
    from workbench.terminal import number, table

    made = create(method, _params(params))
    imported = _read([log], format, mapping)
    with _space(imported, embedder, state, last_actions, cache) as space:
        explanation = made(space.steps, space).explain(space.steps.find(*_step(step)))
    if as_json:
        print(_json(explanation.to_dict()))
        return
    print(f"{method} gives {step} the advantage {number(explanation.advantage)}")
    print(table([vars(part) for part in explanation.parts]))
    for term, found in explanation.facts.items():
        print(f"\n{term}: " + ", ".join(f"{name} {number(fact)}" for name, fact in found.items()))
        peers = explanation.peers.filter(explanation.peers["term"] == term)
        print(table(peers.drop("term", "group_id").head(top).to_dicts()))
        if peers.height > top:
            print(f"… and {peers.height - top} more")


@app.command()
def neighbours(
    log: Log,
    step: StepName,
    count: Annotated[int, typer.Option("-k", min=1, help="How many states.")] = 10,
    as_json: AsJson = False,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    format: Format = None,
    mapping: Map = None,
) -> None:
    """Find the nearest states anywhere in a log, in any group."""
    from workbench.terminal import table

    imported = _read([log], format, mapping)
    with _space(imported, embedder, state, last_actions, cache) as space:
        rows = space.nearest(space.steps.find(*_step(step)), count)
    print(_json(rows.to_dicts()) if as_json else table(rows.to_dicts()))


@app.command()
def methods(as_json: AsJson = False) -> None:
    """List the methods with their fields, dialects and sources."""
    from workbench.estimators import methods as registered
    from workbench.terminal import table

    if as_json:
        print(_json({name: method.to_dict() for name, method in registered().items()}))
        return
    for name, method in registered().items():
        print(f"{name}: {method.summary}\n  {method.source}")
        fields = method.to_dict()["fields"].items()
        rows = [{"field": f"  {key}", **_field_row(spec)} for key, spec in fields]
        print(table(rows, width=120))
        for dialect in method.dialects.values():
            values = ", ".join(f"{key}={value}" for key, value in dialect.fields.items())
            print(f"  {name}:{dialect.name}  {values}")
        print()


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
def compare(
    credits: Annotated[list[Path], typer.Argument(metavar="CREDIT…", help="Credit files.")],
    top: Annotated[int, typer.Option(help="How many disagreements of each pair.")] = 10,
    groups: Annotated[bool, typer.Option("--groups", help="Also print every group.")] = False,
    as_json: AsJson = False,
) -> None:
    """Compare credits of one log: rank correlation, sign flips, largest disagreements."""
    from workbench.compare import compare as compare_credits
    from workbench.terminal import table

    comparison = compare_credits(_named(credits), top=top)
    if as_json:
        print(_json(comparison.to_dict()))
        return
    print(f"{comparison.compared} of {comparison.steps} steps are scored by all")
    print(table(comparison.credits.to_dicts()), end="\n\n")
    wanted = ("left", "right", "spearman", "pearson", "sign_flips", "sign_flip_share")
    print(table(comparison.pairs.to_dicts(), wanted), end="\n\n")
    if groups:
        print(table(comparison.groups.to_dicts(), ("group_id", "steps", *wanted)), end="\n\n")
    print("largest disagreements, in standard deviations of each credit")
    print(table(comparison.disagreements.to_dicts()))


@app.command("export")
def export_batch(
    log: Log,
    credit: Annotated[Path, typer.Option(help="Credit file of this log.")],
    directory: Annotated[Path, typer.Option("-o", metavar="DIR", help="Folder to make.")],
    to: Annotated[str, typer.Option(help="Target; see `workbench formats`.")] = "weighted-batch",
    params: Params = None,
    format: Format = None,
    mapping: Map = None,
) -> None:
    """Write a weighted batch for a trainer, with a manifest."""
    from workbench.exporters import get
    from workbench.pipeline import source_digest
    from workbench.store import read_credit
    from workbench.terminal import number

    target = get(to)
    table, made_by = read_credit(credit)
    imported = _read([log], format, mapping)
    found = source_digest(imported.report.files)
    if found != made_by["log"]["sha256"]:
        print(f"note: {credit} was made from another file than {log}", file=sys.stderr)
    frame = imported.validated.log
    manifest = target(frame, table, made_by, directory, **_params(params))
    for part in ("counts", "checks"):
        entries = getattr(manifest, part).items()
        print(f"{part}: " + ", ".join(f"{name} {number(value)}" for name, value in entries))
    for reason, lost in manifest.dropped.items():
        print(f"dropped: {reason}, {lost['trajectories']} trajectories, {lost['steps']} steps")
    print(f"wrote {directory}")


@app.command()
def run(
    files: Annotated[list[str], typer.Argument(metavar="LOG…", help="Files, folders, globs.")],
    directory: Annotated[Path, typer.Option("-o", metavar="DIR", help="The workspace.")],
    methods: Annotated[
        list[str] | None,
        typer.Option("-m", help="Method; repeat for several. [default: grpo, gigpo, proxmo]"),
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option("-p", metavar="METHOD.FIELD=VALUE", help="Set a field of a method."),
    ] = None,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    to: Annotated[str, typer.Option(help="Export target.")] = "weighted-batch",
    export_method: Annotated[
        str | None, typer.Option(help="Whose credit is exported. [default: the last method]")
    ] = None,
    format: Format = None,
    mapping: Map = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Set broken trajectories aside and go on.")
    ] = False,
    skip_bad: SkipBad = False,
) -> None:
    """Go the whole way: read, validate, embed, index, score, compare, export."""
    from workbench import pipeline
    from workbench.embed import DEFAULT_EMBEDDER
    from workbench.terminal import next_command, progress, run_summary

    chosen = methods or list(pipeline.DEFAULT_METHODS)
    with progress() as report:
        result = pipeline.run(
            files,
            directory,
            methods=chosen,
            params=_method_params(params, chosen),
            embedder=embedder or DEFAULT_EMBEDDER,
            state_text=_state_text(state, last_actions),
            target=to,
            export_method=export_method,
            format=format,
            mapping=_mapping(mapping),
            quarantine=quarantine,
            skip_bad=skip_bad,
            report=report,
        )
    print(run_summary(result))
    print(f"next: {next_command(result)}")


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

    kind, dials = find_world(world), _params(params)
    known = list(inspect.signature(kind).parameters)
    for name in dials:
        if name not in known:
            raise ParameterError(str(UnknownNameError(f"dial of {world}", name, known)))
    made = kind(**dials)
    log = simulate_world(made, tasks=tasks, rollouts=rollouts, seed=seed)
    with atomic_file(output) as temporary:
        log.write_parquet(temporary, compression="zstd")
    print(f"wrote {output}: {tasks} groups of {rollouts}, {log.height} steps")


@app.command("app")
def start_app(
    logs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORK|LOG…]", help="Workspaces or logs. [default: bundled log]"),
    ] = None,
    embedder: EmbedderName = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    allow_path_input: Annotated[
        bool,
        typer.Option("--allow-path-input", help="Let users of the app open files of this machine."),
    ] = False,
    headless: Annotated[
        bool | None,
        typer.Option("--headless/--browser", help="Open no browser. [default: if no display]"),
    ] = None,
) -> None:
    """Start the app in a browser, on this machine only unless an address is given."""
    import subprocess

    from workbench.terminal import app_command

    command = app_command(
        logs or [],
        embedder=embedder,
        port=port,
        address=address,
        allow_path_input=allow_path_input,
        headless=headless,
    )
    if address != "127.0.0.1":
        print(f"note: everyone who can reach {address} can read these logs", file=sys.stderr)
    sys.exit(subprocess.call(command))


def main() -> None:
    """Runs the command line; what the user can put right exits with 2 and one message."""
    try:
        app()
    except WorkbenchError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        if error.filename is None:
            raise
        print(f"error: {error.filename}: {error.strerror}", file=sys.stderr)
        sys.exit(2)


def _read(
    files: Sequence[str],
    format: str | None,
    mapping: Path | None,
    quarantine: Path | None = None,
    *,
    skip_bad: bool = False,
    report: bool = False,
) -> Imported:
    """Reads and validates a log; what was set aside is written to the quarantine file."""
    from workbench.readers import import_log
    from workbench.store import atomic_file

    _require_other(quarantine, files)
    imported = import_log(
        files,
        format=format,
        mapping=_mapping(mapping),
        quarantine=quarantine is not None,
        skip_bad=skip_bad,
    )
    aside = imported.validated.quarantined
    if quarantine is not None and aside.height:
        with atomic_file(quarantine) as temporary:
            aside.write_parquet(temporary, compression="zstd")
    if report:
        print(imported.report)
        if quarantine is not None:
            count = aside["trajectory_id"].n_unique()
            print(f"{count} trajectories set aside" + f" in {quarantine}" * bool(count))
    else:
        for notice in imported.validated.notices:
            print(f"note: {notice}", file=sys.stderr)
    return imported


@contextmanager
def _space(
    imported: Imported,
    embedder: str | None,
    template: str | None,
    last_actions: int,
    cache: Path | None,
) -> Iterator[Space]:
    """The space of a log while a progress bar is shown; a workspace's log has its vectors there."""
    from workbench.artefacts import Artefacts, StoredLog
    from workbench.embed import DEFAULT_EMBEDDER, VectorCache
    from workbench.pipeline import user_cache
    from workbench.space import Space
    from workbench.steps import Steps
    from workbench.terminal import progress

    steps = Steps.from_log(imported.validated.log)
    files = imported.report.files
    stored = StoredLog.at(files[0]) if len(files) == 1 and cache is None else None
    with progress() as report:
        chosen, text = embedder or DEFAULT_EMBEDDER, _state_text(template, last_actions)
        if stored is not None:
            yield Artefacts(stored.workspace, report).space(steps, chosen, text)
            return
        yield Space(
            steps,
            embedder=chosen,
            state_text=text,
            cache=VectorCache(cache or user_cache()),
            progress=lambda done, total: report("embed", done, total),
        )


def _require_other(output: Path | None, files: Sequence[str]) -> None:
    """Refuses to write over a file that is read: originals are never touched."""
    from workbench.readers import source_files

    if output is not None and output.exists():
        sources = {path.resolve() for path in source_files(files)}
        if output.resolve() in sources:
            raise ParameterError(f"{output} is read; writing there would destroy it")


def _state_text(template: str | None, last_actions: int) -> Any:
    from workbench.embed import StateText

    chosen = "{observation}" if template is None else template
    return StateText(template=chosen, last_actions=last_actions)


def _mapping(path: Path | None) -> Any:
    from workbench.readers import load_mapping

    return None if path is None else load_mapping(path)


def _params(pairs: Sequence[str] | None) -> dict[str, Any]:
    """`field=value` pairs; a value that parses as JSON is that, else it is text."""
    values: dict[str, Any] = {}
    for pair in pairs or ():
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ParameterError(f"-p takes FIELD=VALUE, got {pair!r}")
        try:
            values[name] = json.loads(text)
        except (ValueError, RecursionError):
            values[name] = text
    return values


def _method_params(pairs: Sequence[str] | None, methods: Sequence[str]) -> dict[str, Any]:
    """`method.field=value` pairs by method."""
    by_method: dict[str, dict[str, Any]] = {}
    for name, value in _params(pairs).items():
        method, dot, field = name.rpartition(".")
        if not dot or method not in methods:
            raise ParameterError(f"-p takes METHOD.FIELD=VALUE with one of {methods}, got {name!r}")
        by_method.setdefault(method, {})[field] = value
    return by_method


def _step(text: str) -> tuple[str, int]:
    trajectory, colon, index = text.rpartition(":")
    if not colon or not index.isdecimal():
        raise ParameterError(
            f"--step takes TRAJECTORY:INDEX such as task-1/rollout-0:3, got {text!r}"
        )
    return trajectory, int(index)


def _named(paths: Sequence[Path]) -> dict[str, pl.DataFrame]:
    """Credit tables by method, or by file where a method comes twice."""
    from workbench.store import read_credit

    if len(set(paths)) < len(paths):
        raise ParameterError(f"a credit is given twice: {[str(path) for path in paths]}")
    tables = []
    for path in paths:
        table, made_by = read_credit(path)
        method = made_by["method"]
        name = ":".join(filter(None, (method["name"], method["dialect"])))
        tables.append((name, path, table))
    names = [name for name, _, _ in tables]
    return {
        name if names.count(name) == 1 else f"{name} ({path})": table
        for name, path, table in tables
    }


def _field_row(spec: dict[str, Any]) -> dict[str, str]:
    kind = "|".join(spec["choices"]) if "choices" in spec else spec["type"]
    return {"default": json.dumps(spec["default"]), "type": kind, "meaning": spec["help"]}


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False)
