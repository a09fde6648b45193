"""Commands about how good a credit is: advise, audit, tune."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli.inputs import (
    engine_chosen,
    give_to,
    import_options,
    named_credits,
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
    Params,
    Reading,
    Template,
    as_json_text,
    reading_words,
    reads_logs,
)
from workbench.cli.root import app, examples
from workbench.cli.values import field_values
from workbench.errors import ParameterError

if TYPE_CHECKING:
    from workbench.workspace.opened import OpenedLog


@app.command(epilog=examples("workbench advise household", "workbench advise log.parquet --json"))
@reads_logs
def advise(
    logs: Logs,
    embedder: EmbedderName = None,
    as_json: AsJson = False,
    cache: Cache = None,
    allow_unchained: AllowUnchained = False,
    *,
    reading: Reading,
) -> None:
    """Advise which credit to train with on a log: reason, certainty, and what to do first."""
    from workbench.analysis.advice import advise as advice_on
    from workbench.analysis.advice import texts_of

    opened = read_opened(logs, reading, cache)
    with open_space(opened, embedder, None, 0, allow_unchained=allow_unchained) as space:
        found = advice_on(space)
    if as_json:
        print(as_json_text(found.to_dict()))
        return
    print(found.headline())
    for label, text in texts_of(found):
        print(f"{label:<10}{text}")


@app.command(
    epilog=examples(
        "workbench audit log.parquet --credit grpo.parquet --credit gigpo.parquet",
        "workbench audit log.parquet --credit grpo.parquet --fail-on 'dead_groups>0.5'",
    )
)
@reads_logs
def audit(
    logs: Logs,
    credits: Annotated[
        list[Path] | None,
        typer.Option(
            "--credit",
            metavar="CREDIT",
            help="A credit file; repeat for several. [default: all of the workspace]",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Numbers or yes/no to compare with. [default: true_advantage, where logged]",
        ),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Print every number with interval, meaning, what to do."),
    ] = False,
    as_json: AsJson = False,
    output: Annotated[
        Path | None,
        typer.Option("-o", metavar="FILE", help="Write each step's bootstrap interval (Parquet)."),
    ] = None,
    controls: Annotated[
        bool, typer.Option("--controls/--no-controls", help="Audit random and return-to-go too.")
    ] = True,
    draws: Annotated[int, typer.Option(min=2, help="Bootstrap draws of a group, at most.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Seed of all random draws.")] = 0,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail-on",
            metavar="FINDING|MEASURE>NUMBER",
            help="Exit with 1 where this finding is made (any for all) or this bound is passed; "
            "repeat for several.",
        ),
    ] = None,
    steps: Annotated[
        int,
        typer.Option(
            min=1,
            help="Steps that are audited, at most: of more, whole groups are drawn, at least one.",
        ),
    ] = 1_000_000,
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    log_to: LogTo = None,
    cache: Cache = None,
    allow_unchained: AllowUnchained = False,
    *,
    reading: Reading,
) -> None:
    """Audit credits without ground truth: findings, and the numbers behind them."""
    from workbench.analysis.audit import CONTROLS, explained, report
    from workbench.analysis.audit.bounds import broken, parse_bound
    from workbench.cli.progress import progress
    from workbench.files import atomic_file
    from workbench.wording import number_of
    from workbench.workspace.artefacts import Artefacts
    from workbench.workspace.audit_files import audit_files, audit_opened
    from workbench.workspace.opened import stored_log
    from workbench.workspace.tracked import of_audit

    bounds = [parse_bound(text) for text in fail_on or ()]
    require_tracker(log_to)
    require_other(output, [*logs, *map(str, credits or ())])
    worker = engine_chosen(jobs, engine, address)
    if not credits:
        stored = stored_log(logs, reading)
        credits = list(Artefacts(stored.workspace).scored(stored.sha256)) if stored else []
    if not credits:
        raise ParameterError(
            "name a credit to audit, as with --credit credit.parquet. Hint: `workbench score` "
            "makes one, and the log of a workspace is audited with all of its own"
        )
    given = _by_short_name(named_credits(credits), credits)
    files = dict(zip(given, credits, strict=True))
    asked: dict[str, Any] = {
        "label": label,
        "controls": CONTROLS if controls else (),
        "draws": draws,
        "seed": seed,
        "steps": steps,
        "allow_unchained": allow_unchained,
    }

    def note_others(opened: OpenedLog) -> None:
        for name, path in files.items():
            note_other_log(path, given[name], opened, logs)

    if worker is None:
        opened = read_opened(logs, reading, cache)
        note_others(opened)
        with progress() as told:
            found, log = audit_opened(opened, given, progress=told, **asked), opened.frame
    else:
        with progress() as told:
            found, log = audit_files(
                logs,
                files,
                cache=cache,
                engine=worker,
                folder=None if output is None else output.parent,
                check=note_others,
                noted=print_report_notes,
                progress=told,
                **asked,
                **import_options(reading) | {"quarantine": reading["quarantine"]},
            )
    if output is not None:
        with atomic_file(output) as temporary:
            found.intervals.write_parquet(temporary, compression="zstd")
    failed = broken(found, bounds)
    give_to(log_to, log, lambda: of_audit(found.frame))
    if as_json:
        print(as_json_text({**found.to_dict(), "failed": failed}))
        raise typer.Exit(1 if failed else 0)
    print(report(found))
    if explain:
        print("\nEVERY NUMBER\n\n" + explained(found))
    if output is not None:
        print(f"wrote {output}: intervals of {number_of(found.intervals.height, 'step')}")
    if failed:
        print("\nFAILED\n" + "\n".join(failed))
        raise typer.Exit(1)


def _by_short_name(given: dict[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Credits of one method by the stems of their files, where those tell them apart."""
    stems = [path.stem for path in paths]
    return {
        stem if name.endswith(f"({path})") and stems.count(stem) == 1 else name: credit
        for (name, credit), path, stem in zip(given.items(), paths, stems, strict=True)
    }


@app.command(epilog=examples("workbench tune log.parquet -m proxmo --embedder tfidf"))
@reads_logs
def tune(
    logs: Logs,
    method: MethodName,
    params: Params = None,
    output: Annotated[
        Path | None, typer.Option("-o", metavar="FILE", help="Write the curve (Parquet).")
    ] = None,
    as_json: AsJson = False,
    embedder: EmbedderName = None,
    state: Template = None,
    last_actions: LastActions = 0,
    cache: Cache = None,
    allow_unchained: AllowUnchained = False,
    *,
    reading: Reading,
) -> None:
    """Choose a method's temperature, neighbours, or key threshold by rollouts held out.

    Whole trajectories are held out, in groups of at least three: leaving out single steps lets a
    trajectory predict itself, and picks a far too cold or far too hot τ. A method that takes a
    state key has the threshold of the key by similarity tuned (state_key=similar), next to exact
    keys, which are kept unless merging near states predicts better by more than one standard error.

    What predicts returns best need not credit steps best: `workbench bench tuning` measures that.
    """
    from workbench.analysis.tuning.held_out import held_out
    from workbench.analysis.tuning.temperature import similarity_spread
    from workbench.cli.summaries import how_scored
    from workbench.files import atomic_file
    from workbench.methods import create, registered
    from workbench.methods.capabilities import own_embedder

    fields = field_values(params, method)
    made = create(registered(method), fields)
    require_other(output, logs)
    opened = read_opened(logs, reading, cache)
    with open_space(
        opened, embedder, state, last_actions, allow_unchained=allow_unchained
    ) as space:
        found = held_out(made, made(space.steps, space), space)
        # A τ divides similarities, so their spread is its unit; no other field has that unit.
        own = own_embedder(made)
        spread = similarity_spread(space.similarity(own)) if found.symbol == "τ" else None
    result = {"method": method, "now": made.values[found.field], **found.to_dict(spread)}
    if output is not None:
        with atomic_file(output) as temporary:
            found.curve(spread).write_parquet(temporary, compression="zstd")
    if as_json:
        print(as_json_text(result))
        return
    print(_tuned_text(result))
    if found.recommended is not None:
        value = found.recommended
        value = value if isinstance(value, str) else float(f"{value:.6g}")
        chosen = {**fields, found.field: value}
        how = how_scored(chosen, space.embedder.name, state_text(state, last_actions))
        command = ["workbench", "score", *logs, "-m", method, *how, *reading_words(reading)]
        print(f"\nnext: {shlex.join([*command, '-o', 'credit.parquet'])}")


def _tuned_text(result: Mapping[str, Any]) -> str:
    from workbench.cli.tables import table
    from workbench.wording import number, number_of

    symbol, chosen, now = result["symbol"], result["recommended"], result["now"]
    lines = [
        f"{result['method']}: {result['field']} ({symbol}) is {number(now)}; recommended: "
        + ("none" if chosen is None else number(chosen)),
        result["reason"],
        f"Held out whole trajectories: {number_of(result['steps'], 'step')} of "
        f"{number_of(result['groups'], 'group')}; left out "
        f"{number_of(result['groups_of_fewer_than_three_rollouts'], 'group')} of fewer than three "
        f"rollouts and {result['groups_of_equal_returns']:,} of equal returns.",
    ]
    if result["similarity_spread"]:
        spread = result["similarity_spread"]
        lines.append(
            f"Similarities inside a group have the deviation {spread:.3g}; in_spreads is "
            f"{symbol} in that unit, in which embedders can be compared."
        )
    rows = result["curve"]
    if "exact_error" in rows[0]:
        lines.append(f"{symbol.capitalize()} 1 stands for exact keys.")
    # Every eighth stop of a fine grid, and the ones that matter.
    step = len(rows) // 10 if len(rows) > 30 else 1
    shown = [r for k, r in enumerate(rows) if k % step == 0 or r["value"] in {chosen, now}]
    columns = [name for name in rows[0] if name != "plain_error"]
    return "\n".join([*lines, "", table(shown, columns)])
