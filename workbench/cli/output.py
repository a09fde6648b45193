"""Output of commands: plain tables, numbers, a progress bar on standard error."""

from __future__ import annotations

import difflib
import glob
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.cli.tables import table, terminal_width
from workbench.errors import MissingDependencyError, ParameterError
from workbench.readers.bundled import app_script, bundled_logs
from workbench.wording import number_of, shortened

if TYPE_CHECKING:
    import polars as pl

    from workbench.analysis.compare import Comparison
    from workbench.log.credit import Provenance
    from workbench.states.keys.report import KeyReport


def key_summary(report: KeyReport, top: int) -> str:
    """Summary of a key on a log: counts, largest labels, and merged texts."""
    largest = [
        {**row, "texts": row["texts"][0]} for row in report.largest.drop("label").to_dicts()[:top]
    ]
    parts = ["\n".join(report.lines()), f"largest labels\n{table(largest, width=80)}"]
    for row in report.merged.to_dicts()[:top]:
        lines = [shortened(text, terminal_width() - 2) for text in _marked(row["texts"])]
        title = f"taken for one in {row['group_id']}: " + ", ".join(
            [number_of(row["distinct"], "text"), number_of(row["steps"], "step")]
        )
        parts.append("\n".join([title, *(f"  {line}" for line in lines[:top])]))
        if len(lines) > top:
            parts[-1] += f"\n  … and {len(lines) - top} more"
    return "\n\n".join(parts)


def _marked(texts: Sequence[str]) -> list[str]:
    """Texts with [the words] in which they differ from the first, or it from the second.

    Those that begin alike are shown from shortly before they differ.
    """
    words = [text.split() for text in texts]
    shortest = min(map(len, words))
    same = next((k for k in range(shortest) if len({each[k] for each in words}) > 1), shortest)
    cut = max(0, same - 8)
    compared = [each[cut : cut + _COMPARED] for each in words]
    marked = []
    for k, each in enumerate(compared):
        other = compared[0] if k else compared[min(1, len(compared) - 1)]
        marked.append(("… " if cut else "") + _with_marks(each, other))
    return marked


_COMPARED = 200
"""So many words of a text are compared from where it differs."""


def _with_marks(words: Sequence[str], other: Sequence[str]) -> str:
    parts = []
    matcher = difflib.SequenceMatcher(None, other, words, autojunk=False)
    for kind, _, _, start, end in matcher.get_opcodes():
        if kind == "delete":
            # A place where only the other has words.
            parts.append("[]")
        elif kind == "equal":
            parts += words[start:end]
        else:
            parts.append(f"[{' '.join(words[start:end])}]")
    return " ".join(parts)


def disagreements(comparison: Comparison, log: pl.DataFrame | None) -> str:
    """The steps on which each pair differs most, with what they saw and did if a log is there."""
    parts = ["largest disagreements, in standard deviations of each credit"]
    found = comparison.disagreements
    if log is not None:
        on = ["trajectory_id", "step_index"]
        texts = log.select(*on, "observation", "action")
        found = found.join(texts, on=on, how="left", maintain_order="left")
    for (left, right), rows in found.group_by(["left", "right"], maintain_order=True):
        shown = rows.drop("left", "right", "group_id").rename(
            {
                "left_advantage": str(left),
                "right_advantage": str(right),
                "standardised_difference": "standardised",
            }
        )
        parts.append(table(shown.to_dicts(), width=200))
    if log is None:
        parts.append("note: --log LOG shows what these steps saw and did")
    return "\n\n".join(parts)


def _matches(pattern: str) -> bool:
    return bool(glob.glob(pattern))  # noqa: PTH207  it takes absolute patterns


def app_command(
    logs: Sequence[str],
    *,
    embedder: str | None,
    port: int,
    address: str,
    allow_path_input: bool,
    headless: bool | None,
    watch: Path | None = None,
    keep_uploads: int | None = None,
) -> list[str]:
    """The command that starts the app; without a display it opens no browser.

    Raises:
        MissingDependencyError: Streamlit is not installed.
        ParameterError: A log is not there.
    """
    if importlib.util.find_spec("streamlit") is None:
        raise MissingDependencyError(
            "`workbench app` needs the package streamlit, which is not installed. "
            "Hint: pip install streamlit plotly"
        )
    bundled = bundled_logs()
    paths = {log: Path(log) for log in logs}
    named = [log for log, path in paths.items() if log in bundled and not path.exists()]
    paths |= {log: bundled[log] for log in named}
    missing = [log for log, path in paths.items() if not path.exists() and not _matches(log)]
    if missing:
        raise ParameterError(
            f"{missing[0]} does not exist. Hint: a path, or a bundled log: {', '.join(bundled)}"
        )
    if headless is None:
        seen = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
        headless = sys.platform.startswith("linux") and not seen
    server = {
        "server.port": port,
        "server.address": address,
        "server.headless": str(headless).lower(),
    }
    options = [part for name, value in server.items() for part in (f"--{name}", str(value))]
    own = ["--embedder", embedder] if embedder else []
    own += ["--allow-path-input"] if allow_path_input else []
    own += [] if keep_uploads is None else ["--keep-uploads", str(keep_uploads)]
    if watch is not None:
        if not watch.is_dir():
            raise ParameterError(f"--watch {watch}: there is no such folder")
        own += ["--watch", str(watch.resolve())]
    own += [str(path.resolve()) for path in paths.values()]
    return [sys.executable, "-m", "streamlit", "run", str(app_script()), *options, "--", *own]


def print_warning(made: Provenance) -> None:
    """Say on the error output where a credit at its defaults trained worse than the control."""
    from workbench.analysis.evidence import warning
    from workbench.methods import METHODS, create

    known = made.name in METHODS
    if known and made.method.get("fields") == create(made.name).values:
        said = warning(made.name)
        if said is not None:
            print(f"note: {said}", file=sys.stderr)
