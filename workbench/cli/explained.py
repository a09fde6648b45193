"""An explanation as text: the step, the sum that makes its advantage, and its peers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from workbench.cli.tables import table, terminal_width
from workbench.log.conversation import said
from workbench.wording import number, number_of, shortened

if TYPE_CHECKING:
    import polars as pl

    from workbench.log.credit import Explanation

_IN_THE_SUM = ("factor", "score", "baseline")
_WHOLE = 100_000


def explanation_text(
    found: Explanation, method: str, log: pl.DataFrame, *, top: int, full: bool
) -> str:
    """Explanation of a step's advantage as text.

    Args:
        found: The explanation.
        method: What the method is called.
        log: The log that it is of, for the texts of peers.
        top: How many peers of each term.
        full: Whether texts are whole.
    """
    step = f"{found.step['trajectory_id']}:{found.step['step_index']}"
    lines = [f"{method} gives {step} the advantage {number(found.advantage)}", ""]
    if not trained(found, log):
        lines[1:1] = ["The step is masked: it is not trained, whatever its advantage."]
    for name, text in _said(found, log):
        lines += _text(name, text, full=full)
    lines += ["", "advantage = sum over terms of factor · (score − baseline)", _sum(found)]
    for term, meaning in found.meanings.items():
        lines += ["", f"{term}: score is the {meaning['score']}; baseline is {_the(meaning)}"]
        facts = [(k, fact) for k, fact in found.facts[term].items() if k not in _IN_THE_SUM]
        lines += [", ".join(f"{k} {number(fact)}" for k, fact in facts)] if facts else []
        lines += _peers(found, term, log, top=top, full=full)
    return "\n".join(lines)


def trained(found: Explanation, log: pl.DataFrame) -> bool:
    """True where the explained step takes part in the loss."""
    rows = _rows(found, log)
    return "gradient_mask" not in rows.columns or bool(rows["gradient_mask"].all())


def _rows(found: Explanation, log: pl.DataFrame) -> pl.DataFrame:
    """The row of the explained step."""
    import polars as pl

    at = {name: found.step[name] for name in ("trajectory_id", "step_index")}
    return log.filter(pl.col(name) == value for name, value in at.items())


def _said(found: Explanation, log: pl.DataFrame) -> list[tuple[str, str]]:
    """The messages that are new at the step, or else its observation and action."""
    rows = _rows(found, log)
    messages = rows["messages"][0] if "messages" in rows.columns and rows.height else None
    if messages is None:
        return [("observation", found.observation or ""), ("action", found.action or "")]
    return [
        (str(message["role"]) if kind == "text" else kind, text)
        for message in json.loads(messages)
        for kind, text in said(message)
    ]


def _the(meaning: Mapping[str, str]) -> str:
    text = meaning["baseline"]
    return text if text.startswith(("the ", "nothing")) else f"the {text}"


def _text(name: str, text: str, *, full: bool) -> list[str]:
    if full:
        shown = (shortened(line, _WHOLE) for line in text.splitlines() or [""])
        return [f"{name}:", *(f"  {line}".rstrip() for line in shown)]
    return [f"{name:<13}{shortened(text, max(20, terminal_width() - 13))}"]


def _sum(found: Explanation) -> str:
    """One row per term, and their sum."""
    rows = [
        {"term": term, **{k: found.facts[term][k] for k in _IN_THE_SUM}, "value": value}
        for term, value in found.terms.items()
    ]
    total: dict[str, Any] = dict.fromkeys(_IN_THE_SUM)
    rows.append({"term": "total", **total, "value": found.advantage})
    return table(rows)


def _peers(found: Explanation, term: str, log: pl.DataFrame, *, top: int, full: bool) -> list[str]:
    """The heaviest peers of a term with what they saw and did, and the sum over all."""
    import polars as pl

    peers = found.peers.filter(pl.col("term") == term)
    if peers.is_empty():
        return []
    texts = log.select("trajectory_id", "step_index", "observation", "action")
    on = ["trajectory_id", "step_index"]
    shown = peers.head(top).join(texts, on=on, how="left", maintain_order="left")
    empty = {name for name in shown.columns if shown[name].null_count() == shown.height}
    rows = shown.drop({"term", "group_id", *empty}).to_dicts()
    lines = _in_full(rows) if full else [table(rows, width=200)]
    total = float((peers["weight"] * peers["value"]).sum())
    rest = f"; {peers.height - top:,} not shown" if peers.height > top else ""
    said = f"sum of weight · value over {number_of(peers.height, 'peer')}: {number(total)}{rest}"
    return [*lines, said]


def _in_full(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = []
    for row in rows:
        numbers = [f"{k} {number(row[k])}" for k in ("weight", "similarity", "value") if k in row]
        place = f":{row['step_index']}" if "step_index" in row else ""
        lines.append(f"{row['trajectory_id']}{place}  {', '.join(numbers)}")
        for name in ("observation", "action"):
            if row.get(name) is not None:
                lines += [f"  {line}" for line in _text(name, row[name], full=True)]
    return lines
