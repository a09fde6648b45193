"""Commands that put it to work: run, export, report, app."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.inputs import credit_of, import_options, read_opened, require_other, state_text
from workbench.cli.options import (
    EXPORT_OPTIONS,
    AllowUnchained,
    Cache,
    EmbedderName,
    LastActions,
    Log,
    MarksOf,
    OnlyGroups,
    OnlyTasks,
    Output,
    Reading,
    Redact,
    Template,
    TemplateLoss,
    TokenizerName,
    export_values,
    field_values,
    reads_logs,
    run_values,
)
from workbench.cli.root import app


@app.command()
@reads_logs
def run(
    files: Annotated[list[str], typer.Argument(metavar="LOG…", help="Files, folders, globs.")],
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
        str | None, typer.Option(help="Whose credit is exported. [default: the last method]")
    ] = None,
    tokenizer: TokenizerName = None,
    template_loss: TemplateLoss = None,
    groups: OnlyGroups = None,
    tasks: OnlyTasks = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="Set broken trajectories aside and go on.")
    ] = False,
    allow_unchained: AllowUnchained = False,
    *,
    reading: Reading,
) -> None:
    """Go the whole way: read, validate, embed, index, score, compare, export."""
    from workbench.cli.output import next_command, progress, run_summary
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER
    from workbench.workspace import pipeline

    chosen = methods or list(pipeline.DEFAULT_METHODS)
    fields, options = run_values(params, chosen)
    with progress() as told:
        result = pipeline.run(
            files,
            directory,
            methods=chosen,
            params=fields,
            embedder=embedder or DEFAULT_EMBEDDER,
            state_text=state_text(state, last_actions),
            target=to,
            export_method=export_method,
            export_options=export_values(options, tokenizer, template_loss, groups, tasks),
            quarantine=quarantine,
            allow_unchained=allow_unchained,
            **import_options(reading),
            progress=told,
        )
    print(run_summary(result))
    print(f"next: {next_command(result)}")


@app.command("export")
@reads_logs
def export_batch(
    log: Log,
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
            help=f"{EXPORT_OPTIONS}, overwrite=true.",
        ),
    ] = None,
    *,
    reading: Reading,
) -> None:
    """Write a batch for a trainer, with a manifest; say what it is worth and what to switch off."""
    from workbench.cli.output import export_summary, print_warning
    from workbench.exporters import TARGETS
    from workbench.exporters.folder import require_place
    from workbench.workspace.chosen import for_export
    from workbench.workspace.opened import user_folder

    options = export_values(field_values(params), tokenizer, template_loss, groups, tasks, redact)
    target = TARGETS[to]
    # Refused now rather than after a long log is read.
    target.options_of(options)
    require_place(directory, overwrite=bool(options.get("overwrite", False)))
    opened = read_opened(log, reading)
    scored = credit_of(credit, opened, log)
    kept_in = marks or (opened.artefacts.root if opened.artefacts else user_folder() / "app")
    frame = for_export(opened.frame, scored, kept_in, options, lambda: opened.space("tfidf"))
    print(export_summary(target(frame, scored, directory, **options)))
    print_warning(scored.provenance)
    print(f"wrote {directory}")


@app.command("report")
@reads_logs
def write_report(
    log: Annotated[
        str, typer.Argument(metavar="WORK|LOG", help="A workspace with one log, or a log.")
    ],
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
    *,
    reading: Reading,
) -> None:
    """Write one HTML file to share: findings, charts, and rollouts to read; it needs no server.

    Without --filter or --rollouts it shows the groups with the most weight under the last method.
    """
    from workbench.cli.inputs import log_of_workspace
    from workbench.cli.output import progress
    from workbench.files import atomic_file
    from workbench.log.redaction import read_rules
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER
    from workbench.ui.report import report
    from workbench.workspace.pipeline import DEFAULT_METHODS

    rules = read_rules(redact or [])
    source = log_of_workspace(log)
    require_other(output, [source])
    opened = read_opened(source, reading, cache)
    with progress() as told:
        page = report(
            opened,
            methods or DEFAULT_METHODS,
            name=Path(log).name,
            embedder=embedder or DEFAULT_EMBEDDER,
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
    print(f"wrote {output} ({len(page.encode()) / 1e3:,.0f} kB)")


@app.command("app")
def start_app(
    logs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORK|LOG…]", help="Workspaces or logs. [default: bundled log]"),
    ] = None,
    embedder: Annotated[
        str | None,
        typer.Option("--embedder", help="As elsewhere. [default: tfidf, which is instant]"),
    ] = None,
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

    from workbench.cli.output import app_command

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
