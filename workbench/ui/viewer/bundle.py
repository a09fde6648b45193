"""The modules and styles of the components, joined for inlining; nothing here needs Streamlit."""

from __future__ import annotations

import re
from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
VIEWER = (
    *("model.js", "dom.js", "blocks.js", "lists.js", "compare.js"),
    *("moves.js", "asking.js", "finding.js", "keys.js", "viewer.js"),
)
WHY = ("model.js", "dom.js", "why.js")
STEPS = ("model.js", "dom.js", "steps.js")
MAP = ("model.js", "dom.js", "plane.js", "map.js")
PREVIEW = ("model.js", "dom.js", "preview.js")
REPORT = (*VIEWER, "charts.js", "report.js")
"""The modules of each component and of a report, every one behind those that it imports."""

_IMPORT = re.compile(r"^import\b[^;]*;\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?!default)", re.MULTILINE)


def bundle(modules: tuple[str, ...]) -> str:
    """Modules as the one that Streamlit loads inline.

    Assets in files are found in a wheel and not in an editable install, so they are read here; each
    module is plain JavaScript that Node runs as it is.
    """
    texts = [(ASSETS / name).read_text(encoding="utf-8") for name in modules]
    return "\n".join(_EXPORT.sub("", _IMPORT.sub("", text)) for text in texts)


def styles(*names: str) -> str:
    """Style sheets as one, behind the colours that all of them use."""
    return "".join((ASSETS / name).read_text(encoding="utf-8") for name in ("theme.css", *names))
