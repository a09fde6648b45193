"""Commands about credit: score, explain, neighbours, methods, compare."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from workbench.cli.inputs import (
    credit_of,
    engine_chosen,
    give_to,
    import_options,
    named_credits,
    open_space,
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
    from workbench.cli.output import progress
    from workbench.log.credit import write_credit
    from workbench.methods import create, registered
    from workbench.methods.scoring import provenance, scored
    from workbench.states.embedders.registry import DEFAULT_EMBEDDER
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
                embedder=embedder or DEFAULT_EMBEDDER,
                state_text=state_text(state, last_actions),
                cache=cache,
                allow_unchained=allow_unchained,
                engine=worker,
                check=check,
                progress=told,
                **import_options(reading) | {"quarantine": reading["quarantine"]},
            )
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
    top: Annotated[int, typer.Option(help="How many peers of each term to print.")] = 5,
    full: Annotated[bool, typer.Option("--full", help="Print texts whole.")] = False,
    *,
    reading: Reading,
) -> None:
    """Say what the advantage of one step is made of."""
    from workbench.cli.explained import explanation_text
    from workbench.methods import create, registered

    made = create(registered(method), field_values(params, method))
    opened = read_opened(logs, reading, cache)
    with open_space(
        opened, embedder, state, last_actions, allow_unchained=allow_unchained
    ) as space:
        explanation = made(space.steps, space).explain(space.steps.find(*step_name(step)))
    if as_json:
        print(as_json_text(explanation.to_dict()))
        return
    print(explanation_text(explanation, method, opened.frame, top=top, full=full))


@app.command(epilog=examples("workbench neighbours log.parquet --step task-1/rollout-0:3 -k 5"))
@reads_logs
def neighbours(
    logs: Logs,
    step: StepName,
    count: Annotated[int, typer.Option("-k", min=1, help="How many states.")] = 10,
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

    opened = read_opened(logs, reading, cache)
    with open_space(opened, embedder, state, last_actions) as space:
        rows = space.nearest(space.steps.find(*step_name(step)), count)
    print(as_json_text(rows.to_dicts()) if as_json else table(rows.to_dicts()))


@app.command(epilog=examples("workbench methods", "workbench methods gigpo proxmo"))
def methods(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD…]", help="Which. [default: all]")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the methods with their fields, dialects and sources; named ones are told in full."""
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
    top: Annotated[int, typer.Option(help="How many disagreements of each pair.")] = 10,
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
    from workbench.cli.output import disagreements
    from workbench.cli.tables import table
    from workbench.wording import of_all
    from workbench.workspace.artefacts import StoredLog

    named = named_credits(credits)
    comparison = compare_credits({name: c.table for name, c in named.items()}, top=top)
    sha256 = next(iter(named.values())).provenance.log_sha256
    stored = StoredLog.of_credit(credits[0], sha256) if logs is None else None
    frame = stored.frame if stored else None
    if logs is not None:
        opened = read_opened(logs, reading)
        frame = opened.frame
        if opened.sha256 != sha256:
            print(
                f"note: the credits were made from another file than {', '.join(logs)}",
                file=sys.stderr,
            )
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


@app.command(
    epilog=examples("workbench decompose log.parquet --credit vineppo.parquet --figure map.html")
)
@reads_logs
def decompose(
    logs: Logs,
    credit: Annotated[Path, typer.Option(help="Credit file of this log.")],
    mask: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the log, trained in the lowest blocks only."),
    ] = None,
    blocks: Annotated[
        str, typer.Option(help="What a block of the mask is: role, round or role-round.")
    ] = "role-round",
    lowest: Annotated[int, typer.Option(min=1, help="How many blocks the mask leaves.")] = 1,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the map of roles and rounds, as HTML."),
    ] = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Say how much of a credit's variance goes by role and by round, for logs of several agents.

    A credit that is one number a rollout, such as GRPO's, has nothing to tell here: take one that
    values single messages, such as vineppo.
    """
    from workbench.analysis.decomposition import decompose as decomposed
    from workbench.analysis.decomposition import lowest as lowest_blocks
    from workbench.analysis.decomposition import masked
    from workbench.cli.tables import table
    from workbench.files import atomic_file
    from workbench.wording import number, number_of, of_all

    require_other(mask, logs)
    require_other(figure, logs)
    opened = read_opened(logs, reading)
    frame = opened.frame
    found = decomposed(frame, credit_of(credit, opened, logs).table)
    if as_json:
        print(as_json_text(found.to_dict()))
    else:
        names = ("role", "round", "residual", "interaction", "within")
        shares = ", ".join(f"{name} {getattr(found, name):.1%}" for name in names[:3])
        print(f"variance {number(found.variance)} over {number_of(found.steps, 'step')}: {shares}")
        inner = ", ".join(f"{name} {getattr(found, name):.1%}" for name in names[3:])
        print(f"the residual is {inner}", end="\n\n")
        if found.level:
            print(
                "No role and no round has more credit than another on average: a credit of one "
                "number a rollout cannot tell them apart, nor can one that is centred in each. "
                "Hint: score with a method that values single messages, such as -m vineppo",
                end="\n\n",
            )
        for rows in (found.roles, found.rounds, found.cells):
            print(table(rows.to_dicts()), end="\n\n")
        if found.left_out:
            count = number_of(found.left_out, "scored step")
            print(f"left out for want of a role or a round: {count}")
    if figure is not None:
        from workbench.plots.decomposition import role_round_map

        with atomic_file(figure) as temporary:
            page = role_round_map(found.cells).to_html(include_plotlyjs=True, div_id="map")
            temporary.write_text(page, encoding="utf-8")
        print(f"wrote {figure}", file=sys.stderr)
    if mask is not None:
        chosen = lowest_blocks(found, blocks, lowest)
        kept = masked(frame, chosen)
        with atomic_file(mask) as temporary:
            kept.write_parquet(temporary, compression="zstd")
        trained = int(kept["gradient_mask"].sum())
        print(f"wrote {mask}: {of_all(trained, kept.height, 'step')} trained", file=sys.stderr)
