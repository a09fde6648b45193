"""Commands that put it to work: run, export, report, app."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.inputs import (
    credit_of,
    engine_chosen,
    give_to,
    import_options,
    note_other_log,
    print_report_notes,
    read_opened,
    require_other,
    require_tracker,
    state_text,
)
from workbench.cli.options import (
    EXPORT_OPTIONS,
    Address,
    AllowUnchained,
    AsJson,
    Cache,
    EmbedderName,
    EngineName,
    Jobs,
    LastActions,
    Logs,
    LogTo,
    MarksOf,
    OnlyGroups,
    OnlyTasks,
    Output,
    Overwrite,
    Reading,
    Redact,
    Template,
    TemplateLoss,
    TokenizerName,
    as_json_text,
    reads_logs,
)
from workbench.cli.root import app, examples
from workbench.cli.values import EXPORT, export_values, field_values, run_values


@app.command(
    epilog=examples(
        "workbench run household -o work/",
        "workbench run rollouts/ -m grpo -m gigpo -p gigpo.gamma=0.99 --to verl -o work/",
    )
)
@reads_logs
def run(
    logs: Logs,
    directory: Annotated[Path, typer.Option("-o", metavar="DIR", help="The workspace.")],
    methods: Annotated[
        list[str] | None,
        typer.Option("-m", help="Method; repeat for several. [default: grpo, gigpo, proxmo]"),
    ] = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="METHOD.FIELD=VALUE",
            help=(
                "Set a field of a method, such as proxmo.temperature=0.05, or as "
                f"export.OPTION=VALUE an option of the export: {EXPORT_OPTIONS}."
            ),
        ),
    ] = None,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    to: Annotated[str, typer.Option(help="Export target.")] = "weighted-batch",
    export_method: Annotated[
        str | None, typer.Option(help="Method whose credit is exported. [default: the last method]")
    ] = None,
    tokenizer: TokenizerName = None,
    template_loss: TemplateLoss = None,
    groups: OnlyGroups = None,
    tasks: OnlyTasks = None,
    allow_unchained: AllowUnchained = False,
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    log_to: LogTo = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Run the whole pipeline: read, validate, embed, index, score, compare, export."""
    import polars as pl

    from workbench.cli.progress import progress
    from workbench.cli.summaries import next_command, run_summary
    from workbench.files import atomic_file
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER, require_embedder
    from workbench.workspace import pipeline

    require_other(reading["quarantine"], logs)
    require_tracker(log_to)
    require_embedder(embedder or DEFAULT_EMBEDDER)
    chosen = methods or list(pipeline.DEFAULT_METHODS)
    fields, options = run_values(params, chosen)
    with progress() as told:
        result = pipeline.run(
            logs,
            directory,
            methods=chosen,
            params=fields,
            embedder=embedder or DEFAULT_EMBEDDER,
            state_text=state_text(state, last_actions),
            target=to,
            export_method=export_method,
            export_options=export_values(options, tokenizer, template_loss, groups, tasks),
            allow_unchained=allow_unchained,
            engine=engine_chosen(jobs, engine, address),
            **import_options(reading),
            progress=told,
        )
    if reading["quarantine"] is not None and result.quarantined is not None:
        with atomic_file(reading["quarantine"]) as temporary:
            temporary.write_bytes(result.quarantined.read_bytes())
    if log_to is not None:
        give_to(log_to, pl.read_parquet(result.log, glob=False), result.numbers)
    if as_json:
        print(as_json_text(result.to_dict()))
        return
    print(run_summary(result))
    print(f"next: {next_command(result)}")


@app.command(
    "export",
    epilog=examples(
        "workbench export log.parquet --credit gigpo.parquet --to trl -o batch/",
        "workbench export log.parquet --credit gigpo.parquet --to dpo -p margin=0.5 -o pairs/",
    ),
)
@reads_logs
def export_batch(
    logs: Logs,
    credit: Annotated[Path, typer.Option(help="Credit file of this log.")],
    directory: Annotated[Path, typer.Option("-o", metavar="DIR", help="Folder to make.")],
    to: Annotated[str, typer.Option(help="Target; see `workbench formats`.")] = "weighted-batch",
    tokenizer: TokenizerName = None,
    template_loss: TemplateLoss = None,
    groups: OnlyGroups = None,
    tasks: OnlyTasks = None,
    marks: MarksOf = None,
    redact: Redact = None,
    params: Annotated[
        list[str] | None,
        typer.Option(
            "-p",
            metavar="OPTION=VALUE",
            help=f"{EXPORT_OPTIONS}.",
        ),
    ] = None,
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    overwrite: Overwrite = False,
    log_to: LogTo = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Write a batch for a trainer, with a manifest of its worth and of what to switch off."""
    from workbench.cli.output import print_warning
    from workbench.cli.progress import progress
    from workbench.cli.summaries import export_summary
    from workbench.exporters import TARGETS
    from workbench.exporters.folder import require_place
    from workbench.log.credit import read_credit
    from workbench.workspace.chosen import for_export
    from workbench.workspace.export_to import export_to
    from workbench.workspace.opened import user_folder
    from workbench.workspace.tracked import of_batch

    require_tracker(log_to)
    options = export_values(
        field_values(params, EXPORT), tokenizer, template_loss, groups, tasks, redact
    )
    options |= {"overwrite": True} if overwrite else {}
    target = TARGETS[to]
    # Refused now rather than after a long log is read.
    target.options_of(options)
    require_place(directory, overwrite=bool(options.get("overwrite", False)))
    worker = engine_chosen(jobs, engine, address)
    if worker is None:
        opened = read_opened(logs, reading)
        scored = credit_of(credit, opened, logs)
        kept_in = marks or (opened.artefacts.root if opened.artefacts else user_folder() / "app")
        frame = for_export(opened.frame, scored, kept_in, options, lambda: opened.space("tfidf"))
        manifest = target(frame, scored, directory, **options)
    else:
        require_other(reading["quarantine"], logs)
        scored = read_credit(credit)
        with progress() as told:
            manifest, frame = export_to(
                directory,
                logs,
                scored,
                target=to,
                options=options,
                engine=worker,
                check=lambda opened: note_other_log(credit, scored, opened, logs),
                noted=print_report_notes,
                progress=told,
                **import_options(reading) | {"quarantine": reading["quarantine"]},
            )
    give_to(log_to, frame, lambda: of_batch(manifest))
    if as_json:
        print(as_json_text({"batch": directory, "manifest": json.loads(manifest.to_json())}))
        return
    print(export_summary(manifest))
    print_warning(scored.provenance)
    print(f"wrote {directory}")


@app.command(
    "report",
    epilog=examples(
        "workbench report work/ -o report.html",
        "workbench report log.parquet -m gigpo --filter outcome:fail -o fails.html --redact likely",
    ),
)
@reads_logs
def write_report(
    logs: Logs,
    output: Output,
    methods: Annotated[
        list[str] | None,
        typer.Option("-m", help="Method; repeat for several. [default: grpo, gigpo, proxmo]"),
    ] = None,
    filter: Annotated[
        str, typer.Option("--filter", help="Show rollouts with a step that this filter leaves.")
    ] = "",
    rollouts: Annotated[
        list[str] | None,
        typer.Option("--rollouts", metavar="ID", help="Show this rollout; repeat for several."),
    ] = None,
    most: Annotated[int, typer.Option(min=1, help="Rollouts at most.")] = 24,
    redact: Redact = None,
    embedder: EmbedderName = None,
    cache: Cache = None,
    allow_unchained: AllowUnchained = False,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Write one HTML file to share: findings, charts, and rollouts to read; it needs no server.

    Without --filter or --rollouts it shows the groups with the most weight under the last method.
    """
    from workbench.cli.progress import progress
    from workbench.files import atomic_file
    from workbench.log.redaction import read_rules
    from workbench.ui.report import report
    from workbench.workspace.pipeline import DEFAULT_METHODS

    rules = read_rules(redact or [])
    require_other(output, logs)
    opened = read_opened(logs, reading, cache)
    with progress() as told:
        page = report(
            opened,
            methods or DEFAULT_METHODS,
            name=", ".join(Path(log).name for log in logs),
            embedder=embedder or opened.embedder,
            filter=filter,
            rollouts=rollouts or (),
            most=most,
            rules=rules,
            marks=opened.artefacts.root if opened.artefacts else None,
            allow_unchained=allow_unchained,
            progress=told,
        )
    with atomic_file(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    size = len(page.encode())
    if as_json:
        print(as_json_text({"report": output, "bytes": size}))
        return
    print(f"wrote {output} ({size / 1e3:,.0f} kB)")


@app.command("app", epilog=examples("workbench app", "workbench app work/ --port 8600"))
def start_app(
    logs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORK|LOG…]", help="Workspaces or logs. [default: bundled log]"),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help="State similarity. [default: tfidf, which is instant]"),
    ] = None,
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port.")] = 8501,
    address: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    watch: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Announce files that a run writes there; they load on request."
        ),
    ] = None,
    allow_path_input: Annotated[
        bool,
        typer.Option("--allow-path-input", help="Let users of the app open files of this machine."),
    ] = False,
    keep_uploads: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="DAYS",
            help="Remove an upload and its log after so many days. [default: never]",
        ),
    ] = None,
    headless: Annotated[
        bool | None,
        typer.Option("--headless/--browser", help="Open no browser. [default: if no display]"),
    ] = None,
) -> None:
    """Start the app in a browser, on this machine only unless an address is given."""
    import subprocess

    from workbench.cli.output import app_command

    command = app_command(
        logs or [],
        embedder=embedder,
        port=port,
        address=address,
        allow_path_input=allow_path_input,
        headless=headless,
        watch=watch,
        keep_uploads=keep_uploads,
    )
    if address != "127.0.0.1":
        print(f"note: everyone who can reach {address} can read these logs", file=sys.stderr)
    sys.exit(subprocess.call(command))
