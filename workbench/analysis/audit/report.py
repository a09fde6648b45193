"""An audit as text: findings first, then a table a section."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from workbench.analysis.audit.measures import MEASURES
from workbench.analysis.audit.result import Audit
from workbench.analysis.audit.sections import GROUPS

WIDTH = 100
_LABEL, _CELL = 22, 13
_AT_ONCE = 6  # credits side by side
_LOG = "log"

Row = Mapping[str, Any]


def report(audit: Audit) -> str:
    """Findings, then every number: measures down, the log and its credits across."""
    lines = [audit.title, "", *_findings(audit), *_badge(audit)]
    for group, meaning in GROUPS.items():
        rows = audit.frame.filter(audit.frame["group"] == group).to_dicts()
        if rows:
            lines += ["", f"{group.upper()}: {meaning}", *_section(audit, rows)]
    return _printable("\n".join([*lines, "", *_footnotes(audit)]))


def explained(audit: Audit) -> str:
    """Every number with its interval, what it means and what to do."""
    lines = []
    present = set(audit.frame["measure"])
    for name, measure in MEASURES.items():
        if name not in present:
            continue
        lines += [
            "",
            f"{name} ({measure.group}, {measure.kind})",
            *_wrapped(measure.meaning),
            *_wrapped(measure.action, "  → "),
        ]
        for row in audit.frame.filter(audit.frame["measure"] == name).to_dicts():
            lines.append(_full(row))
    return _printable("\n".join(lines[1:]))


def _printable(text: str) -> str:
    """The text with · for what a terminal would obey, such as in ids and observations."""
    return "".join(sign if sign.isprintable() or sign == "\n" else "·" for sign in text)


def _wrapped(text: str, head: str = "  ") -> list[str]:
    """The text after a head, further lines as far in as the first."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_on_hyphens=False,
    )


def _findings(audit: Audit) -> Iterator[str]:
    if not audit.findings:
        yield "FINDINGS: none of the known defects was found"
        return
    yield f"FINDINGS: {len(audit.findings)}"
    for finding in audit.findings:
        yield from _wrapped(f"{finding.credit or _LOG} · {finding.name}: {finding.text}", "! ")
        yield from _wrapped(finding.action, "  → ")


def _badge(audit: Audit) -> Iterator[str]:
    """Method that reproduces the trainer's own numbers, if one does."""
    rows = audit.frame.filter(audit.frame["measure"] == "closest_to_logged").to_dicts()
    for row in rows:
        yield ""
        yield from _wrapped(
            f"The trainer's own advantage is nearest to {row['where']}: {row['value']:.1%} of "
            f"{row['count']:,} steps within 1e-4, {row['note']}.",
            "",
        )


def _section(audit: Audit, rows: Sequence[Row]) -> Iterator[str]:
    shown = [*audit.credits, *audit.controls]
    in_table = [row for row in rows if not MEASURES[row["measure"]].listed]
    of_log = [row for row in in_table if row["credit"] is None]
    of_credits = [row for row in in_table if row["credit"] is not None]
    if of_log:
        yield from _table(of_log, [None])
    for first in range(0, len(shown), _AT_ONCE) if of_credits else ():
        part = shown[first : first + _AT_ONCE]
        yield from _table([row for row in of_credits if row["credit"] in part], part)
    listed = [row for row in rows if MEASURES[row["measure"]].listed]
    for measure in dict.fromkeys(row["measure"] for row in listed):
        yield measure
        yield from _lines([row for row in listed if row["measure"] == measure])
    if rows[0]["group"] == "power":
        statistics = sorted({row["note"].partition(":")[0] for row in rows})
        yield f"by {' and '.join(statistics)}, paired by group, controls included"


def _lines(rows: Sequence[Row]) -> Iterator[str]:
    """Readings with place and note, those that say the same together."""
    together: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        value = _value(row["measure"], row["value"])
        key = (row["credit"] or _LOG, value, row["note"])
        together.setdefault(key, []).append(row["where"])
    for (credit, value, note), places in together.items():
        said = "  ".join(part for part in (", ".join(places), note) if part)
        yield from _wrapped(said or "–", f"  {_cut(credit, 16):<16} {value:>8}  ")


def _table(rows: Sequence[Row], credits: Sequence[str | None]) -> Iterator[str]:
    """One line per measure and place, one column per credit."""
    cells: dict[tuple[str, str], dict[str | None, str]] = {}
    for row in rows:
        key = (row["measure"], row["where"])
        cells.setdefault(key, {})[row["credit"]] = _cell(row)
    heads = [_cut(credit or _LOG, _CELL - 1) for credit in credits]
    yield " " * _LABEL + "".join(head.rjust(_CELL) for head in heads)
    above = ""
    for (measure, where), found in sorted(cells.items(), key=_by_measure):
        if where and measure != above and (measure, "") not in cells:
            yield measure
        above = measure
        label = f"  {where}" if where else measure
        values = "".join(found.get(credit, "").rjust(_CELL) for credit in credits)
        yield f"{_cut(label, _LABEL - 1):<{_LABEL}}{values}".rstrip()


def _by_measure(entry: tuple[tuple[str, str], Any]) -> tuple[int, bool]:
    (measure, where), _ = entry
    return list(MEASURES).index(measure), bool(where)


def _cell(row: Row) -> str:
    text = _value(row["measure"], row["value"])
    low, high, value = row["shuffled_low"], row["shuffled_high"], row["value"]
    beyond = low is not None and value is not None and not low <= value <= high
    return text + ("*" if beyond else "")


def _value(measure: str, value: float | None) -> str:
    if value is None:
        return "–"
    kind = MEASURES[measure].kind
    if kind == "share":
        return f"{100 * value:.1f} %"
    if kind == "correlation":
        return f"{value:+.2f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _full(row: Row) -> str:
    measure = row["measure"]
    parts = [f"  {row['credit'] or _LOG:<20} {_value(measure, row['value']):>9}"]
    if row["low"] is not None:
        parts.append(f"[{_value(measure, row['low'])}, {_value(measure, row['high'])}]")
    if row["shuffled_low"] is not None:
        low, high = (_value(measure, row[f"shuffled_{end}"]) for end in ("low", "high"))
        parts.append(f"shuffled {low} to {high}")
    if row["count"] is not None:
        parts.append(f"n {row['count']:,}")
    parts += [part for part in (row["where"], row["note"]) if part]
    return "  ".join(parts)


def _footnotes(audit: Audit) -> Iterator[str]:
    drawn = audit.sampling
    yield (
        f"Resampling: {drawn['groups']} of {drawn['eligible_groups']} groups with three rollouts "
        f"or more, {drawn['draws']} draws each, seed {drawn['seed']}."
    )
    yield (
        "* outside the range of 40 shuffles of the credit inside its trajectories; by chance alone "
        "1 in 20 is."
    )
    for row in audit.left_out.to_dicts():
        yield from _wrapped(
            f"Left out for {row['credit']}: {row['measures']}; {row['reason']}.", ""
        )
    yield from _wrapped(
        "Intervals, meanings and what to do: --explain or --json. Each interval holds by itself "
        "(95 %); none is corrected for how many are looked at, so of 20 differences that are none "
        "about 1 will look like one.",
        "",
    )


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"
