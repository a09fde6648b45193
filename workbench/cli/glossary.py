"""The command `glossary`."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli.options import AsJson, as_json_text
from workbench.cli.root import app, examples


@app.command(epilog=examples("workbench glossary", "workbench glossary peer baseline"))
def glossary(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]…", help="Words; all without.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Explain the words of help texts, messages and the app: step, group, credit, peer, …."""
    from workbench.cli.tables import table
    from workbench.errors import UnknownNameError
    from workbench.glossary import GLOSSARY

    for word in words or ():
        if word not in GLOSSARY:
            raise UnknownNameError("word", word, GLOSSARY)
    rows = [{"word": word, "meaning": GLOSSARY[word]} for word in words or GLOSSARY]
    print(as_json_text(rows) if as_json else table(rows, wrap=True))
