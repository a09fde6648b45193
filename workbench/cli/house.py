"""Commands about the house: clean."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli.options import AsJson, as_json_text
from workbench.cli.root import app, examples
from workbench.errors import UnknownNameError


@app.command(
    epilog=examples(
        "workbench clean", "workbench clean work/ --remove embeddings --remove leftovers"
    )
)
def clean(
    workspaces: Annotated[
        list[Path] | None, typer.Argument(metavar="[WORK]", help="Workspaces to look into as well.")
    ] = None,
    remove: Annotated[
        list[str] | None,
        typer.Option(
            "--remove",
            metavar="KIND",
            help="embeddings, uploads or leftovers; repeat for several. [default: nothing]",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List what is stored where (embeddings, uploads, leftovers), with sizes; remove on request.

    Logs, credits, batches and marks are listed, never removed.
    """
    from workbench.cli.tables import table
    from workbench.wording import number_of
    from workbench.workspace.clutter import REMOVABLE, places
    from workbench.workspace.clutter import remove as removed

    for kind in remove or ():
        if kind not in REMOVABLE:
            raise UnknownNameError("kind to remove", kind, REMOVABLE)
    for path in workspaces or ():
        if not path.is_dir():
            known = (str(folder.parent) for folder in path.parent.glob("*/log/"))
            raise UnknownNameError("workspace", str(path), known)
    found = places(workspaces or ())
    gone = removed(found, remove or ())
    rows = [{**vars(place), "path": str(place.path), "removed": place in gone} for place in found]
    if as_json:
        print(as_json_text({"places": rows, "removed_bytes": sum(place.bytes for place in gone)}))
        return
    print(table(rows, width=200))
    if gone:
        print(f"removed {number_of(sum(place.bytes for place in gone), 'byte')}")
    elif any(place.kind in REMOVABLE for place in found):
        print("nothing removed; --remove KIND does it: " + ", ".join(REMOVABLE))
