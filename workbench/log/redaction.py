r"""Redaction: texts of a log replaced by rules before it is shared, and counts of what they match.

A file of rules has one rule a line, `name = regex → replacement`; `->` is the same arrow:

    # who asked
    customer = \bC-[0-9]{6}\b → [customer]
    city = (?i)berlin|paris
    likely

A rule without an arrow puts its name in brackets. Expressions are those of Rust's regex crate,
which takes time in proportion to the text, whatever it says; `$1` in a replacement is what the
first group matched. The word `likely`, in a file or in place of one, stands for `LIKELY`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import LogError, ParameterError, Problem
from workbench.wording import are, number_of

IDS = ("group_id", "trajectory_id")
"""Ids by which credits, marks and files name steps."""

BUILT_IN = "likely"
_JSON = ("messages", "tools")
_TOKENS = ("prompt_ids", "response_ids")
_NAME = re.compile(r"[A-Za-z][\w -]{0,60}")
_ARROW = re.compile(r"→|->")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A pattern and its replacement.

    Args:
        name: What it is called where its matches are counted.
        pattern: Expression of Rust's regex crate.
        replacement: What stands there instead; `$1` is what the first group matched.
    """

    name: str
    pattern: str
    replacement: str


_VALUE = r"[\w./+=-]{6,}[0-9][\w./+=-]*"
LIKELY = (
    Rule(
        name="private key",
        pattern=r"-----BEGIN [A-Z ]*PRIVATE KEY-----"
        r"[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        replacement="[private key]",
    ),
    Rule(
        name="key",
        pattern=r"\b(?:sk-[\w-]{20,}|[sr]k_live_\w{16,}|A(?:KIA|SIA)[0-9A-Z]{16}|AIza[\w-]{35}"
        r"|hf_[A-Za-z0-9]{30,}|xox[abprs]-[A-Za-z0-9-]{10,}|gh[pousr]_[A-Za-z0-9]{36,}"
        r"|github_pat_\w{22,}|glpat-[\w-]{20,}|npm_[A-Za-z0-9]{36})",
        replacement="[key]",
    ),
    Rule(
        name="token",
        pattern=r"\beyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|(?i:\bbearer\s+[\w.~+/=-]{16,})",
        replacement="[token]",
    ),
    Rule(
        name="password",
        pattern=r"(?i)\b(api[_-]?key|access[_-]?key|secret|password|passwd|token)"
        rf"([\"']?\s*[:=]\s*[\"']?){_VALUE}",
        replacement="$1$2[password]",
    ),
    Rule(
        name="mail address",
        pattern=r"\b[\w.%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}\b",
        replacement="[mail address]",
    ),
)
"""Patterns of likely secrets; they go by form, and miss secrets without a known one."""


def read_rules(sources: Sequence[str | Path]) -> tuple[Rule, ...]:
    """The rules of files, in order.

    Args:
        sources: Paths, or `likely` for `LIKELY`.

    Raises:
        ParameterError: A file is not there or has no rule, or lines are no rules; all are named.
    """
    found: list[Rule] = []
    problems: list[str] = []
    for source in sources:
        if str(source) == BUILT_IN:
            found += LIKELY
            continue
        path = Path(source).expanduser()
        if not path.is_file():
            raise ParameterError(
                f"there is no file of rules {source}. Hint: `{BUILT_IN}` needs no file; it finds "
                "likely keys, tokens, passwords and mail addresses"
            )
        rules = _rules_of(path, problems)
        if not rules and not problems:
            problems.append(f"{path}: no rule in it")
        found += rules
    if problems:
        raise ParameterError("\n".join(problems) + "\nHint: a rule is `name = regex → replacement`")
    return tuple(found)


def _rules_of(path: Path, problems: list[str]) -> list[Rule]:
    rules: list[Rule] = []
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        problems.append(f"{path}: not UTF-8: {error}")
        return rules
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped == BUILT_IN:
            rules += LIKELY
            continue
        name, equals, rest = (part.strip() for part in stripped.partition("="))
        pattern, *to = (part.strip() for part in _ARROW.split(rest, maxsplit=1))
        if not equals or not pattern or not _NAME.fullmatch(name):
            problems.append(f"{path}:{number}: {stripped!r} is no rule")
            continue
        rule = Rule(name=name, pattern=pattern, replacement=to[0] if to else f"[{name}]")
        fault = _fault(rule)
        if fault:
            problems.append(f"{path}:{number}: {fault}")
        else:
            rules.append(rule)
    return rules


def _fault(rule: Rule) -> str:
    """Reason why a rule cannot be applied; empty where it can."""
    probe = pl.Series(["", "x"])
    try:
        matches_nothing = probe.str.contains(rule.pattern)[0]
        probe.str.replace_all(rule.pattern, rule.replacement)
    except pl.exceptions.ComputeError as error:
        return f"{rule.pattern!r} is no expression: {' '.join(str(error).split())}"
    return f"{rule.pattern!r} matches an empty text" if matches_nothing else ""


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Matches of one rule in a log.

    Args:
        name: Of the rule.
        distinct: How many different texts it matches.
        steps: In how many steps it matches something.
    """

    name: str
    distinct: int
    steps: int


def said(found: Sequence[Matches]) -> str:
    """Matches in words.

    Example:
        >>> said([Matches(name="mail address", distinct=2, steps=30)]), said([])
        ('mail address (2 in 30 steps)', 'nothing matched')
    """
    parts = (f"{one.name} ({one.distinct:,} in {number_of(one.steps, 'step')})" for one in found)
    return ", ".join(parts) or "nothing matched"


def matches(log: pl.DataFrame, rules: Sequence[Rule] = LIKELY) -> list[Matches]:
    """Matches of each rule in the texts of a log, in the rules' order; none without matches."""
    columns = [series for series in map(_as_text, log.iter_columns()) if series is not None]
    found = []
    for rule in rules:
        hits = pl.Series([False]).new_from_index(0, log.height)
        texts: list[pl.Series] = []
        for column in columns:
            here = column.str.contains(rule.pattern).fill_null(value=False)
            if here.any():
                hits = hits | here
                whole = column.filter(here).str.extract_all(rule.pattern)
                texts.append(whole.explode(empty_as_null=False))
        if texts:
            distinct = pl.concat([series.alias("text") for series in texts]).n_unique()
            found.append(Matches(name=rule.name, distinct=distinct, steps=int(hits.sum())))
    return found


def redacted(log: pl.DataFrame, rules: Sequence[Rule]) -> tuple[pl.DataFrame, list[Matches]]:
    """A log with every text replaced that rules match, and what they matched.

    Columns of text and of lists of texts are rewritten; in messages and tools the values inside
    the JSON are, never its keys. A credit belongs to the log as it was: score first.

    Raises:
        LogError: A rule matches ids, which name steps elsewhere, or texts of steps whose token ids
            the log has: those would still spell it.
    """
    found = matches(log, rules)
    if not found:
        return log, []
    new = [_redacted(series, rules) for series in log.iter_columns()]
    problems = []
    changed = pl.Series([False]).new_from_index(0, log.height)
    for before, after in zip(log.iter_columns(), new, strict=True):
        if after is before:
            continue
        differs = before.ne_missing(after)
        changed = changed | differs
        if before.name in IDS and differs.any():
            rows = differs.arg_true().head(3).to_list()
            problems.append(
                Problem(
                    column=before.name,
                    rule="a rule matches ids, by which credits, marks and files name steps",
                    count=int(differs.sum()),
                    places=[f"row {row}" for row in rows],
                    hint="import the log under other ids, or make the rule narrower",
                )
            )
    problems += _in_tokens(log, changed)
    if problems:
        raise LogError(f"the redaction of a step log of {log.height} rows", problems)
    return pl.DataFrame(new), found


def _in_tokens(log: pl.DataFrame, changed: pl.Series) -> list[Problem]:
    """The steps with token ids in rollouts of which a text was changed."""
    names = [name for name in _TOKENS if name in log.columns]
    if not names:
        return []
    ids = log.select("trajectory_id", *names).with_columns(changed.alias("changed"))
    has_ids = pl.any_horizontal(pl.col(names).is_not_null())
    spelled = ids.select(pl.col("changed").any().over("trajectory_id") & has_ids).to_series()
    if not spelled.any():
        return []
    rows = spelled.arg_true()
    return [
        Problem(
            column=", ".join(names),
            rule=f"{are(len(rows), 'step', 'have')} token ids that still spell a redacted text",
            count=len(rows),
            places=[f"row {row}" for row in rows.head(3).to_list()],
            hint="leave those rollouts out by a filter, or export a log of texts with a tokenizer",
        )
    ]


def _as_text(series: pl.Series) -> pl.Series | None:
    if series.dtype == pl.String:
        return series
    if series.dtype == pl.List(pl.String):
        return series.list.join("\n", ignore_nulls=True)
    return None


def _redacted(series: pl.Series, rules: Sequence[Rule]) -> pl.Series:
    """A column with its texts replaced; the same object where it has none."""
    if series.dtype == pl.List(pl.String):
        return series.list.eval(_replaced(pl.element(), rules))
    if series.dtype != pl.String:
        return series
    if series.name in _JSON:
        return _in_json(series, rules)
    return series.to_frame().select(_replaced(pl.col(series.name), rules)).to_series()


def _replaced(text: pl.Expr, rules: Sequence[Rule]) -> pl.Expr:
    for rule in rules:
        text = text.str.replace_all(rule.pattern, rule.replacement)
    return text


def _in_json(series: pl.Series, rules: Sequence[Rule]) -> pl.Series:
    """JSON documents with the texts inside them replaced; what is no JSON is replaced as text."""
    values = [_decoded(text) for text in series]
    texts: list[str] = []

    def gathered(text: str) -> str:
        texts.append(text)
        return text

    for value in values:
        _walk(value, gathered)
    new = _redacted(pl.Series("texts", texts, pl.String), rules).to_list()
    at = iter(new)
    changed = texts != new
    written = [
        text if text is None else _encoded(_walk(value, lambda _: next(at)), text, changed=changed)
        for value, text in zip(values, series, strict=True)
    ]
    return pl.Series(series.name, written, pl.String)


def _decoded(text: str | None) -> Any:
    try:
        return None if text is None else json.loads(text)
    except (ValueError, RecursionError):
        return text


def _encoded(value: Any, text: str, *, changed: bool) -> str:
    """A document as text again; as it was where nothing in it is another."""
    before = _decoded(text)
    if not changed or value == before:
        return text
    return str(value) if before == text else json.dumps(value, ensure_ascii=False)


def _walk(value: Any, text: Callable[[str], str]) -> Any:
    """A value with each text in it, keys apart, replaced by what a function makes of it."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {key: _walk(inner, text) for key, inner in value.items()}
    return [_walk(inner, text) for inner in value] if isinstance(value, list) else value
