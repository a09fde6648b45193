"""A report: one HTML file with findings, charts and rollouts to read, for sharing without a server.

Everything of the log stands in one block of JSON in which no tag can begin, and the page's script
makes text nodes of it. The page forbids itself any other script and any address by a policy.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.analysis.audit import MEASURES, Audit, audit
from workbench.analysis.compare import compare, summaries
from workbench.analysis.filters import parse
from workbench.analysis.rollouts import Rollouts
from workbench.errors import ParameterError
from workbench.files import package_version
from workbench.log.credit import Credit
from workbench.log.facts import GROUP_KINDS, Facts, facts, length_histogram
from workbench.log.redaction import Rule, redacted, said
from workbench.log.remarks import TOLERANCE
from workbench.methods.scoring import score
from workbench.plots.log import KIND_LABELS
from workbench.states.space import Space
from workbench.ui.hints import in_words
from workbench.ui.viewer.bundle import REPORT, bundle, styles
from workbench.ui.viewer.payload import GroupOfLog, Scale, group_payload
from workbench.wording import Progress, number, number_of, silent
from workbench.workspace.chosen import kept
from workbench.workspace.opened import OpenedLog, user_folder

MOST = 24
"""Rollouts that a report has where nobody chooses."""

_HEAD, _TEXT = 8_000, 4_000_000  # characters of a text, and of a group
_BINS = 41
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src 'sha256-{sha}'; \
style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{css}</style>
</head>
<body>
<noscript>A script in this file draws the report; it loads nothing.</noscript>
<main class="wb report"></main>
<script type="application/json" id="data">{data}</script>
<script type="module">{script}</script>
</body>
</html>
"""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """The rollouts that a report shows.

    Args:
        ids: Their trajectory ids.
        says: Which they are, in a sentence.
        mask: The steps that a filter leaves; None without one. (L,) Boolean
    """

    ids: frozenset[str]
    says: str
    mask: pl.Series | None = None


def report(
    opened: OpenedLog,
    methods: Sequence[str],
    *,
    name: str,
    embedder: str = "tfidf",
    filter: str = "",
    rollouts: Sequence[str] = (),
    most: int = MOST,
    rules: Sequence[Rule] = (),
    marks: Path | None = None,
    allow_unchained: bool = False,
    progress: Progress = silent,
) -> str:
    """The page; the same log and arguments give the same text.

    Args:
        opened: The log. With rules it is redacted before it is scored, so that nothing of what they
            match is in the page.
        methods: Whose credit is shown; the last one leads.
        name: What the log is called.
        embedder: Representation for methods that need similarities.
        filter: Show rollouts with a step that this leaves, in the log's order.
        rollouts: Show these trajectories.
        most: Rollouts at most.
        rules: What is replaced in its texts.
        marks: The workspace whose marks a filter means.
        allow_unchained: As for `open_log`.
        progress: Told (what, done, total).

    Raises:
        ParameterError: No such trajectory, or a filter leaves no step.
        FilterError: The filter cannot be read.
        LogError: Nothing can be scored, or what `redacted` says.
    """
    sha256 = opened.sha256
    frame, found = redacted(opened.frame, rules) if rules else (opened.frame, [])
    opened = replace(opened, frame=frame, stored_sha256=sha256)
    _require(frame, filter, rollouts)
    space = opened.space(embedder, progress=progress, allow_unchained=allow_unchained)
    credits = {method: score(space, method) for method in methods}
    known = facts(frame)
    shown = _chosen(space, credits, filter, rollouts, most=most, marks=marks)
    audited = audit(space, {n: c.scored() for n, c in credits.items()}, progress=progress)
    groups = _groups(frame, credits, shown)
    lead = methods[-1]
    data = {
        "name": name,
        "sentence": known.sentence(),
        "redaction": _redaction(rules, said(found)) if rules else "",
        "made": f"Log {sha256[:12]}, workbench {package_version()}, states by {embedder}.",
        "chosen": shown.says,
        "groups": groups,
        "first": _first(groups, credits, lead),
        "lead": lead,
        "findings": [
            {
                "of": one.credit or "the log",
                "name": one.name.replace("-", " "),
                "text": in_words(one.text),
                "action": _capital(in_words(one.action)),
            }
            for one in audited.findings
        ],
        "audit": _readings(audited),
        "charts": _charts(known, frame, credits),
    }
    return _page(name, data)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _redaction(rules: Sequence[Rule], counted: str) -> str:
    return (
        f"Redacted before scoring by {number_of(len(rules), 'rule')}: {counted}. States that "
        "differed only in what was replaced are one state here."
    )


def _page(name: str, data: Mapping[str, Any]) -> str:
    script = bundle(REPORT)
    sha = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # What could begin a tag, end the block or, in old readers, a line is written as an escape.
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    text = text.encode("utf-8", "replace").decode()  # a lone surrogate has no bytes
    title = f"{name} · credit report"
    for sign, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        title = title.replace(sign, entity)
    css = styles("viewer.css", "report.css")
    return _PAGE.format(sha=sha, title=title, css=css, data=text, script=script)


def _require(log: pl.DataFrame, filter: str, names: Sequence[str]) -> None:
    """Refuse what the log cannot have, before it is embedded and scored."""
    known = set(log["trajectory_id"])
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ParameterError(f"there is no trajectory {', '.join(map(repr, unknown))} in this log")
    parse(filter, log)


def _chosen(
    space: Space,
    credits: Mapping[str, Credit],
    filter: str,
    names: Sequence[str],
    *,
    most: int,
    marks: Path | None,
) -> Chosen:
    log = space.steps.log
    if not filter and not names:
        return _weightiest(space, credits, most)
    mask, ids, which = None, list(dict.fromkeys(names)), "that were named"
    if filter:
        lead = [*credits.values()][-1].scored()
        root = marks or user_folder() / "app"
        mask = kept(parse(filter, log), log, lead, root, lambda: space)
        left = set(log["trajectory_id"].filter(mask)) & set(ids or log["trajectory_id"])
        ids = [name for name in Rollouts.from_log(log).numbers if name in left]
        which = f"with a step that the filter {filter!r} leaves (◆)"
    if not ids:
        raise ParameterError(f"the filter {filter!r} leaves no step to show")
    shown = ids[:most]
    count = number_of(len(shown), "rollout")
    more = f", the first of {len(ids):,}" if len(ids) > len(shown) else ""
    return Chosen(ids=frozenset(shown), says=f"Here are {count} {which}{more}.", mask=mask)


def _weightiest(space: Space, credits: Mapping[str, Credit], most: int) -> Chosen:
    """Whole groups with the most weight under the last method, as many as fit; one at least."""
    steps, (name, credit) = space.steps, [*credits.items()][-1]
    weight = np.bincount(steps.group, np.abs(credit.advantage), minlength=steps.groups)
    ids: list[str] = []
    groups = 0
    trajectory = steps.log["trajectory_id"].gather(steps.row[steps.trajectory_start[:-1]])
    for group in np.argsort(-weight, kind="stable"):
        members = trajectory.filter(pl.Series(steps.trajectory_group == group)).to_list()
        if ids and len(ids) + len(members) > most:
            break
        ids += members
        groups += 1
    one = "is the group" if groups == 1 else f"are the {groups} groups"
    says = (
        f"Here {one} with the most weight under {name} (largest sums of |advantage|), "
        f"{number_of(len(ids), 'rollout')} of {number_of(steps.trajectories, 'scored rollout')} "
        "of the log."
    )
    return Chosen(ids=frozenset(ids), says=says)


def _groups(
    log: pl.DataFrame, credits: Mapping[str, Credit], shown: Chosen
) -> list[dict[str, Any]]:
    """The groups of the chosen rollouts as the viewer reads them."""
    whole = Rollouts.from_log(log)
    members = pl.col("trajectory_id").is_in(shown.ids)
    groups = whole.table.filter(members)["group_id"].unique()
    of_report = Rollouts(whole.table.filter(pl.col("group_id").is_in(groups.implode())))
    scales = [Scale.of(credit) for credit in credits.values()]
    made = []
    for group in of_report.groups:
        of = GroupOfLog(log, of_report, group, shown.ids)
        columns = {} if shown.mask is None else {"kept": shown.mask.gather(of.rows).to_list()}
        made.append(
            group_payload(
                of, credits, scales, shown="", step_columns=columns, head=_HEAD, most=_TEXT
            )
        )
    return made


def _first(
    groups: Sequence[Mapping[str, Any]], credits: Mapping[str, Credit], lead: str
) -> list[Any]:
    """The step of the first group on which the leading method puts the most weight."""
    group, method = groups[0], list(credits).index(lead)
    sizes = [abs(value or 0.0) for value in group["advantage"][method]]
    row = int(np.argmax(sizes))
    for name, length in zip(group["rollouts"]["id"], group["rollouts"]["length"], strict=True):
        if row < length:
            return [name, row]
        row -= length
    raise AssertionError("a step is in a rollout")


def _readings(found: Audit) -> dict[str, Any]:
    """Every measure that is one number per credit, controls behind the credits."""
    names = [*found.credits, *found.controls]
    rows = []
    for measure in found.frame.filter(pl.col("where") == "")["measure"].unique(maintain_order=True):
        of = found.frame.filter(measure=measure, where="")
        by = dict(zip(of["credit"], of["value"], strict=True))
        entry = MEASURES[measure]
        label = {"text": measure.replace("_", " "), "title": f"{entry.meaning} {entry.action}"}
        if any(by.get(name) is not None for name in names):
            rows.append([label, *(_value(by.get(name), entry.kind) for name in names)])
    heads = ["measure", *found.credits, *(f"{name} (control)" for name in found.controls)]
    left_out = [
        f"{r['credit']}: {r['measures']}; {r['reason']}." for r in found.left_out.to_dicts()
    ]
    return {
        "says": "Readings without ground truth. The controls know nothing of merit: a "
        "number that they reach too says nothing for a credit. A measure's name says under the "
        "pointer what it means.",
        "heads": heads,
        "rows": rows,
        "left_out": left_out,
    }


def _value(value: float | None, kind: str) -> str | None:
    if value is None or not np.isfinite(value):
        return None
    if kind == "share":
        return f"{value:.1%}"
    return f"{value:+.2f}".replace("-", "−") if kind == "correlation" else number(float(value), 3)


def _charts(known: Facts, log: pl.DataFrame, credits: Mapping[str, Credit]) -> dict[str, Any]:
    """Data of the charts."""
    tables = {name: credit.table() for name, credit in credits.items()}
    groups = sum(known.group_kinds.values())
    kinds = [
        {
            "label": KIND_LABELS[kind],
            "value": count,
            "says": f"{count:,} of {number_of(groups, 'group')}",
            "meaning": GROUP_KINDS[kind],
        }
        for kind, count in known.group_kinds.items()
        if count
    ]
    pairs = compare(tables, top=0).pairs.to_dicts() if len(tables) > 1 else []
    return {
        "kinds": kinds,
        "advantages": [_distribution(row, credits) for row in summaries(tables).to_dicts()],
        "pair_heads": ["pair", "rank correlation", "opposite signs", "of the steps"],
        "pairs": [
            [
                f"{row['left']} and {row['right']}",
                _value(row["spearman"], "correlation"),
                f"{row['sign_flips']:,}",
                _value(row["sign_flip_share"], "share"),
            ]
            for row in pairs
        ],
        "lengths": length_histogram(log).to_dicts(),
    }


def _distribution(row: Mapping[str, Any], credits: Mapping[str, Credit]) -> dict[str, Any]:
    """A method's advantages in bins around 0; what lies beyond its scale is in the last ones."""
    credit = credits[row["credit"]]
    limit = Scale.of(credit).largest * 1.05
    inside = np.clip(credit.advantage, -limit, limit)
    counts, _ = np.histogram(inside, _BINS, (-limit, limit))
    return {
        "name": row["credit"],
        "counts": counts.tolist(),
        "limit": float(f"{limit:.4g}"),
        "beyond": int((np.abs(credit.advantage) > limit).sum()),
        "zero": float((np.abs(credit.advantage) <= TOLERANCE).mean()),
        "mean": row["mean"],
        "deviation": row["std"],
    }
