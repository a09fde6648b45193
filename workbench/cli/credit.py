"""Commands about credit: score, explain, neighbours, methods, compare."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.inputs import (
    engine_chosen,
    give_to,
    import_options,
    named_credits,
    note_embedder,
    note_other_log,
    open_space,
    print_report_notes,
    read_opened,
    require_other,
    require_tracker,
    state_text,
)
from workbench.cli.options import (
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
    MethodName,
    Output,
    Overwrite,
    Params,
    Reading,
    StepName,
    Template,
    as_json_text,
    reads_logs,
)
from workbench.cli.replacing import require_own_credit
from workbench.cli.root import app, examples
from workbench.cli.values import field_values, step_name


@app.command(
    epilog=examples(
        "workbench score household -m grpo -o grpo.parquet",
        "workbench score log.parquet -m gigpo:verl-agent -p gamma=0.99 -o gigpo.parquet",
    )
)
@reads_logs
def score(
    logs: Logs,
    method: MethodName,
    output: Output,
    params: Params = None,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    allow_unchained: AllowUnchained = False,
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    overwrite: Overwrite = False,
    log_to: LogTo = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Score every step under one method and write the credit."""
    from workbench.analysis.compare import summaries
    from workbench.cli.progress import progress
    from workbench.log.credit import write_credit
    from workbench.methods import create, registered
    from workbench.methods.scoring import provenance, scored
    from workbench.wording import number_of
    from workbench.workspace.score_to import score_to
    from workbench.workspace.tracked import of_credits

    made = create(registered(method), field_values(params, method))
    require_tracker(log_to)
    require_other(output, logs)
    require_own_credit(output, None, overwrite=overwrite)
    worker = engine_chosen(jobs, engine, address)
    check = partial(require_own_credit, output, overwrite=overwrite)
    if worker is None:
        opened = read_opened(logs, reading, cache)
        with open_space(
            opened, embedder, state, last_actions, allow_unchained=allow_unchained
        ) as space:
            check(provenance(space, method, made))
            credit = scored(space, method, made).scored()
        write_credit(output, credit)
        log = opened.frame
    else:
        with progress() as told:
            credit, log = score_to(
                output,
                logs,
                method,
                params=made.values,
                embedder=embedder,
                state_text=state_text(state, last_actions),
                cache=cache,
                allow_unchained=allow_unchained,
                engine=worker,
                check=check,
                noted=print_report_notes,
                progress=told,
                **import_options(reading) | {"quarantine": reading["quarantine"]},
            )
        if embedder is None and credit.provenance.embedder is not None:
            note_embedder(credit.provenance.embedder["name"])
    found = summaries({credit.provenance.name: credit.table}).to_dicts()
    give_to(log_to, log, lambda: of_credits(found))
    if as_json:
        moments = {name: value for name, value in found[0].items() if name != "credit"}
        made_by = credit.provenance.to_dict()
        print(as_json_text({"credit": output, "advantages": moments, "provenance": made_by}))
        return
    for note in credit.provenance.notes:
        print(f"note: {note}", file=sys.stderr)
    counts = credit.provenance.log
    print(f"wrote {output}: {counts['scored']} of {number_of(counts['rows'], 'step')} scored")


@app.command(epilog=examples("workbench explain log.parquet -m gigpo --step task-1/rollout-0:3"))
@reads_logs
def explain(
    logs: Logs,
    method: MethodName,
    step: StepName,
    as_json: AsJson = False,
    params: Params = None,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    allow_unchained: AllowUnchained = False,
    top: Annotated[int, typer.Option(help="Peers of each term to print.")] = 5,
    full: Annotated[bool, typer.Option("--full", help="Print texts whole.")] = False,
    *,
    reading: Reading,
) -> None:
    """Explain the advantage of one step: terms, baselines and peers."""
    from workbench.cli.explained import explanation_text, trained
    from workbench.methods import create, registered

    made = create(registered(method), field_values(params, method))
    named = step_name(step)
    opened = read_opened(logs, reading, cache)
    with open_space(
        opened, embedder, state, last_actions, allow_unchained=allow_unchained
    ) as space:
        asked = space.steps.find(*named)  # before the scoring, which may have to embed the log
        explanation = made(space.steps, space).explain(asked)
    if as_json:
        explained = explanation.to_dict()
        print(as_json_text(explained | {"trained": trained(explanation, opened.frame)}))
        return
    print(explanation_text(explanation, method, opened.frame, top=top, full=full))


@app.command(epilog=examples("workbench neighbours log.parquet --step task-1/rollout-0:3 -k 5"))
@reads_logs
def neighbours(
    logs: Logs,
    step: StepName,
    count: Annotated[int, typer.Option("-k", min=1, help="Number of states.")] = 10,
    as_json: AsJson = False,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    *,
    reading: Reading,
) -> None:
    """Find the nearest states anywhere in a log, in any group."""
    from workbench.cli.tables import table

    named = step_name(step)
    opened = read_opened(logs, reading, cache)
    with open_space(opened, embedder, state, last_actions) as space:
        rows = space.nearest(space.steps.find(*named), count)
    print(as_json_text(rows.to_dicts()) if as_json else table(rows.to_dicts()))


@app.command(epilog=examples("workbench methods", "workbench methods gigpo proxmo"))
def methods(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD…]", help="Methods. [default: all]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the methods with their fields, dialects and sources; named ones in full."""
    from workbench.cli.tables import table
    from workbench.methods import METHODS
    from workbench.methods.losses import require_credit

    for name in names or ():
        require_credit(name)
    chosen = {name: METHODS[name] for name in sorted(names or METHODS)}
    if as_json:
        print(as_json_text({name: info.to_dict() for name, info in chosen.items()}))
        return
    for name, info in chosen.items():
        print(f"{name}: {info.summary}\n  {info.source}")
        if names:
            print(f"\n{info.about.replace('**', '')}\n")
        fields = info.to_dict()["fields"].items()
        rows = [{"field": f"  {key}", **_field_row(spec)} for key, spec in fields]
        print(table(rows, wrap=True))
        for dialect in info.dialects.values():
            values = ", ".join(f"{key}={value}" for key, value in dialect.fields.items())
            penalty = dialect.invalid_penalty
            more = f"  (its runs: invalid_penalty={penalty:g})" if penalty else ""
            print(f"  {name}:{dialect.name}  {values}{more}")
        print()


def _field_row(spec: dict[str, Any]) -> dict[str, str]:
    kind = " | ".join(spec["choices"]) if "choices" in spec else spec["type"]
    return {"default": json.dumps(spec["default"]), "type": kind, "meaning": spec["help"]}


@app.command(
    epilog=examples(
        "workbench compare grpo.parquet gigpo.parquet", "workbench compare work/credit/*/*.parquet"
    )
)
@reads_logs
def compare(
    credits: Annotated[list[Path], typer.Argument(metavar="CREDIT…", help="Credit files.")],
    top: Annotated[int, typer.Option(help="Disagreements of each pair to print.")] = 10,
    groups: Annotated[bool, typer.Option("--groups", help="Also print every group.")] = False,
    logs: Annotated[
        list[str] | None,
        typer.Option(
            "--log",
            metavar="LOG",
            help="The log, for the texts of steps; repeat for several files. "
            "[default: that of the credits' workspace]",
        ),
    ] = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Compare credits of one log: rank correlation, sign flips, largest disagreements."""
    from workbench.analysis.compare import compare as compare_credits
    from workbench.analysis.compare import require_steps_of
    from workbench.cli.output import disagreements
    from workbench.cli.tables import table
    from workbench.wording import of_all
    from workbench.workspace.artefacts import StoredLog

    named = named_credits(credits)
    comparison = compare_credits({name: c.table for name, c in named.items()}, top=top)
    first = next(iter(named.values()))
    sha256 = first.provenance.log_sha256
    stored = StoredLog.of_credit(credits[0], sha256) if logs is None else None
    frame = stored.frame if stored else None
    if logs is not None:
        opened = read_opened(logs, reading)
        frame = opened.frame
        if opened.sha256 != sha256:
            require_steps_of(opened.frame, first.table)
            note_other_log(credits[0], first, opened, logs)
    if as_json:
        print(as_json_text(comparison.to_dict()))
        return
    print(f"{of_all(comparison.compared, comparison.steps, 'step')} scored by all")
    print(table(comparison.credits.to_dicts()), end="\n\n")
    wanted = ("left", "right", "spearman", "pearson", "sign_flips", "sign_flip_share")
    print(table(comparison.pairs.to_dicts(), wanted), end="\n\n")
    if groups:
        print(table(comparison.groups.to_dicts(), ("group_id", "steps", *wanted)), end="\n\n")
    print(disagreements(comparison, frame))
