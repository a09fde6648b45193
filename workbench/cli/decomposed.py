"""The command about credit by role and round: decompose."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.inputs import credit_of, read_opened, require_other
from workbench.cli.options import AsJson, Logs, Reading, as_json_text, reads_logs
from workbench.cli.root import app, examples


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
        str, typer.Option(help="Unit of a block of the mask: role, round or role-round.")
    ] = "role-round",
    lowest: Annotated[int, typer.Option(min=1, help="Number of blocks that the mask leaves.")] = 1,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the map of roles and rounds, as HTML."),
    ] = None,
    as_json: AsJson = False,
    *,
    reading: Reading,
) -> None:
    """Split a credit's variance by role and by round, for logs of several agents.

    A credit that is one number per rollout, such as GRPO's, cannot be split: take one that
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
                "number per rollout cannot tell them apart, nor can one that is centred in each. "
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
