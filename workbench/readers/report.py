"""Import report: counts for the terminal and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import Problem
from workbench.log.columns import known
from workbench.log.facts.trajectories import finish_reasons
from workbench.log.policies import mixed_policies
from workbench.log.schema import Validated
from workbench.readers.votes import ends_with
from workbench.wording import number_of


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """Counts of what was read, what is in the log, and what was left out and why.

    Args:
        format: Name of the format.
        files: The files that were read.
        rows_read: Step rows that the reader found.
        rows: Step rows of the log.
        groups: Groups of the log.
        trajectories: Trajectories of the log, excluded ones among them.
        rollouts: Rollouts a group -> how many groups have that many.
        singleton_groups: Share of the groups that have one rollout.
        excluded: Reason -> trajectories that are in the log but not scored.
        dropped: Records that were left out, and why.
        left_out: The same in sentences, with what was set aside and what that does to the rest.
        quarantined_rows: Rows of trajectories that were set aside.
        quarantined_trajectories: How many those are.
        quarantined: The rules that those broke.
        missing_token_ids: Share of the rows without `response_ids`.
        reconstructed: What the reader inferred (column `reconstructed`) -> share of the rows.
        null_rewards: Rows whose reward is null.
        nonfinite_rewards: Rows whose reward is NaN or infinite.
        mixed_policies: That groups hold trajectories of several policies, if so.
        masked: Trajectories that the log masks: they neither count in their group nor train.
        mask_reasons: Key by which the log masks trajectories, whether kept or not -> how many.
        untrained_steps: Steps that the log does not train, of trajectories that count.
        cut: Trajectories that a limit cut and that were rewarded: they count and train.
        untrained: Trajectories that count and do not train, since the user asked for it.
        kept_masked: Trajectories that the log masks and that count and train all the same.
        finish_reasons: Why trajectories stopped -> how many did.
        renamed: Canonical name -> the name it had.
        notices: What was done or seen that is no error.
        rewards: The file that rewards were taken from, where they are not the log's own.
    """

    format: str
    files: tuple[str, ...]
    rows_read: int
    rows: int
    groups: int
    trajectories: int
    rollouts: Mapping[int, int]
    singleton_groups: float
    excluded: Mapping[str, int]
    dropped: tuple[Problem, ...]
    left_out: tuple[str, ...]
    quarantined_rows: int
    quarantined_trajectories: int
    quarantined: tuple[Problem, ...]
    missing_token_ids: float
    reconstructed: Mapping[str, float]
    null_rewards: int
    nonfinite_rewards: int
    mixed_policies: str | None
    masked: int
    mask_reasons: Mapping[str, int]
    untrained_steps: int
    cut: int
    untrained: int
    kept_masked: int
    finish_reasons: Mapping[str, int]
    renamed: Mapping[str, str]
    notices: tuple[str, ...]
    rewards: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON-able data."""
        data = dataclasses.asdict(self)
        data["rollouts"] = {str(size): count for size, count in self.rollouts.items()}
        lists = {"files": self.files, "left_out": self.left_out, "notices": self.notices}
        return data | {name: list(texts) for name, texts in lists.items()}

    def lines(self) -> list[str]:
        """The report as lines of text."""
        files = ", ".join(self.files[:3]) + f" and {len(self.files) - 3} more" * (
            len(self.files) > 3
        )
        sizes = ", ".join(
            f"{size} in {number_of(count, 'group')}" for size, count in self.rollouts.items()
        )
        first = [f"mixed policies    {self.mixed_policies}"] if self.mixed_policies else []
        lines = [
            *first,
            f"format            {self.format}",
            f"files             {len(self.files)}: {files}",
            f"rows              {self.rows} in the log, {self.rows_read} read",
            f"groups            {self.groups} ({self.singleton_groups:.1%} have one rollout)",
            f"trajectories      {self.trajectories}",
            f"group sizes       {sizes}",
            f"rewards           {self.null_rewards} null, {self.nonfinite_rewards} not finite"
            + (f", from {self.rewards}" if self.rewards else ""),
            f"not scored        {sum(self.excluded.values())} of {self.trajectories} trajectories",
            f"token ids         missing in {self.missing_token_ids:.1%} of the rows",
        ]
        lines += [
            f"{words:<21}{number_of(count, 'trajectory')}: {meaning}"
            for count, words, meaning in self._votes()
            if count
        ]
        if self.untrained_steps:
            steps = number_of(self.untrained_steps, "step")
            lines.append(f"not trained          {steps}: the log says so, and their rollouts count")
        lines += [
            f"reconstructed     {what} of {share:.1%} of the rows"
            for what, share in self.reconstructed.items()
        ] or ["reconstructed     nothing"]
        if self.renamed:
            names = ", ".join(f"{new} from {_words(new, old)}" for new, old in self.renamed.items())
            lines.append(f"renamed           {names}")
        lines += [
            f"excluded          {number_of(count, 'trajectory')}: {why}"
            for why, count in self.excluded.items()
        ]
        dropped = [f"dropped           {number_of(p.count, 'record')}: {p}" for p in self.dropped]
        lines += dropped or ["dropped           nothing"]
        if self.quarantined_rows:
            lines.append(f"quarantined       {number_of(self.quarantined_rows, 'row')}")
            lines += [f"                  {problem}" for problem in self.quarantined]
        notices = [notice for notice in self.notices if notice != self.mixed_policies]
        return lines + [f"note              {notice}" for notice in notices]

    def _votes(self) -> list[tuple[int, str, str]]:
        """Trajectories treated differently from most: counts, reasons and treatment."""
        by = ", ".join(f"{reason}: {count}" for reason, count in self.mask_reasons.items())
        return [
            (self.masked, "masked in the log", f"not counted in their group, not trained ({by})"),
            (self.cut, "cut by a limit", "counted and trained, as truncated"),
            (self.untrained, "untrained on request", "counted in their group, not trained"),
            (self.kept_masked, "kept though masked", f"counted and trained ({by})"),
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def _words(name: str, old: str) -> str:
    """The name that a column had, with its polarity."""
    entry = known(name)
    return f"not {old}" if entry is not None and old in entry.negated else old


def import_report(
    validated: Validated,
    *,
    format: str,
    files: Sequence[str],
    rows_read: int,
    dropped: Sequence[Problem],
    notices: Sequence[str],
    renamed: Mapping[str, str],
    remainder: str | None = None,
    untrained: Sequence[str] = (),
    rewards: str | Path | None = None,
) -> ImportReport:
    """Count what is in a validated log and join it with what its reader said."""
    log = validated.log
    remainders = [text for text in (remainder, _without_quarantined(validated)) if text]
    votes = _votes(log, untrained)
    rollouts = log.group_by("group_id").agg(pl.col("trajectory_id").n_unique())["trajectory_id"]
    sizes = rollouts.value_counts().sort("trajectory_id")
    return ImportReport(
        format=format,
        files=tuple(files),
        rows_read=rows_read,
        rows=log.height,
        groups=rollouts.len(),
        trajectories=log["trajectory_id"].n_unique(),
        rollouts=dict(sizes.iter_rows()),
        singleton_groups=int((rollouts == 1).sum()) / rollouts.len(),
        excluded=_excluded(log),
        dropped=tuple(dropped),
        left_out=(*_left_out(dropped), *_set_aside(validated), *remainders),
        quarantined_rows=validated.quarantined.height,
        quarantined_trajectories=_trajectories(validated.quarantined),
        quarantined=validated.problems,
        missing_token_ids=_missing_token_ids(log),
        reconstructed=_reconstructed(log),
        null_rewards=log["reward"].null_count(),
        nonfinite_rewards=int((~log["reward"].drop_nulls().is_finite()).sum()),
        mixed_policies=mixed_policies(log),
        masked=votes["masked"],
        mask_reasons=_mask_reasons(log),
        untrained_steps=votes["steps"],
        cut=votes["cut"],
        untrained=votes["untrained"],
        kept_masked=votes["kept"],
        finish_reasons=finish_reasons(log),
        renamed={**renamed, **validated.renamed},
        notices=(*notices, *remainders, *validated.notices),
        rewards=None if rewards is None else str(rewards),
    )


_SHOWN = 3
"""Kinds of dropped records, and of changed conversations, that commands besides import name."""

_OF_CONVERSATIONS = ("conversation: ", "messages: ")


def in_short(left_out: Sequence[str], notices: Sequence[str]) -> list[str]:
    """Short form, for commands that are not about the import itself.

    Args:
        left_out: Of a report.
        notices: Of a report; changes of conversations are folded after the third.
    """
    said = list(dict.fromkeys([*left_out, *notices]))
    changes = [one for one in said if one.startswith(_OF_CONVERSATIONS)]
    folded = changes[_SHOWN:]
    shown = [one for one in said if one not in folded]
    if folded:
        count = number_of(len(folded), "more change")
        shown.append(f"{count} of conversations: `workbench validate` says which")
    return shown


def biased(without: str, fewer: int, groups: int) -> str:
    """Warning that a log is a biased remainder.

    Args:
        without: What is not in it, in words.
        fewer: Groups of which rollouts are known to be missing.
        groups: Groups that there were.
    """
    where = f"of {fewer} of {number_of(groups, 'group')}" if fewer else "of groups not known"
    return (
        f"without the {without} what is left is a biased remainder: {where} rollouts are missing, "
        "and what breaks a record is seldom chance"
    )


def _left_out(dropped: Sequence[Problem]) -> list[str]:
    said = [f"left out {number_of(each.count, 'record')}: {each}" for each in dropped]
    if len(said) > _SHOWN + 1:
        rest = number_of(sum(each.count for each in dropped[_SHOWN:]), "more record")
        why = number_of(len(dropped) - _SHOWN, "other reason")
        said[_SHOWN:] = [f"left out {rest} for {why}: `workbench validate` says which"]
    return said


def _set_aside(validated: Validated) -> list[str]:
    if not validated.quarantined.height:
        return []
    count = number_of(_trajectories(validated.quarantined), "trajectory")
    rows = number_of(validated.quarantined.height, "row")
    why = "; ".join(map(str, validated.problems))
    return [f"set aside {count} of {rows}: {why}"]


def _without_quarantined(validated: Validated) -> str | None:
    """Warning of a biased remainder where trajectories were set aside."""
    aside, log = validated.quarantined, validated.log
    if not aside.height or "group_id" not in aside.columns:
        return None
    fewer = set(aside["group_id"].cast(pl.String).drop_nulls())
    count = number_of(_trajectories(aside), "trajectory")
    return biased(f"{count} set aside", len(fewer), len(fewer | set(log["group_id"])))


def _votes(log: pl.DataFrame, untrained: Sequence[str]) -> dict[str, int]:
    """Scored trajectories by how the log's masks, a limit and the user's wish treat them."""

    def column(name: str, dtype: pl.DataType) -> pl.Expr:
        return pl.col(name) if name in log.columns else pl.lit(None, dtype=dtype).alias(name)

    asked = ends_with(untrained) if untrained and "finish_reason" in log.columns else pl.lit(False)
    rows = log.filter(pl.col("excluded").is_null()).select(
        "trajectory_id",
        "in_group_statistics",
        "gradient_mask",
        column("mask_reason", pl.String()),
        column("truncated", pl.Boolean()),
        asked.alias("asked"),
    )
    counts, masked = pl.col("in_group_statistics").all(), pl.col("mask_reason").is_not_null().any()
    each = rows.group_by("trajectory_id").agg(
        (masked & ~counts).alias("masked"),
        (pl.col("truncated").any() & counts).alias("cut"),
        (pl.col("asked").any() & counts).alias("untrained"),
        (masked & counts).alias("kept"),
        (~pl.col("gradient_mask") & counts & ~pl.col("asked").any()).sum().alias("steps"),
    )
    return {name: int(each[name].sum()) for name in ("masked", "cut", "untrained", "kept", "steps")}


def _mask_reasons(log: pl.DataFrame) -> dict[str, int]:
    if "mask_reason" not in log.columns:
        return {}
    rows = log.filter(pl.col("excluded").is_null() & pl.col("mask_reason").is_not_null())
    reasons = rows.group_by("trajectory_id").agg(pl.col("mask_reason").first())["mask_reason"]
    counts = reasons.value_counts().sort("count", "mask_reason", descending=[True, False])
    return dict(counts.iter_rows())


def _excluded(log: pl.DataFrame) -> dict[str, int]:
    """Trajectories a reason; at which step it holds is left away."""
    reasons = (
        log.filter(pl.col("excluded").is_not_null())
        .unique("trajectory_id")
        .select(pl.col("excluded").str.replace(r" at step \d+$", ""))["excluded"]
        .value_counts()
        .sort("excluded")
    )
    return dict(reasons.iter_rows())


def _trajectories(rows: pl.DataFrame) -> int:
    return rows["trajectory_id"].n_unique() if "trajectory_id" in rows.columns else 0


def _missing_token_ids(log: pl.DataFrame) -> float:
    if "response_ids" not in log.columns:
        return 1.0
    return log["response_ids"].null_count() / log.height


def _reconstructed(log: pl.DataFrame) -> dict[str, float]:
    """Counts of the column `reconstructed`, which is null where all was logged."""
    if "reconstructed" not in log.columns:
        return {}
    counts = log["reconstructed"].drop_nulls().value_counts().sort("reconstructed")
    return {what: count / log.height for what, count in counts.iter_rows()}
