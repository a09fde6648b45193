"""Rows of a batch, laid out from selected steps, and what a manifest asks of them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from workbench.errors import MissingInputError, ParameterError
from workbench.exporters.chat_template import Tokenizer
from workbench.exporters.conversations import text_rows
from workbench.exporters.lists import flat, lengths, nested
from workbench.exporters.options import Options
from workbench.exporters.selection import STEP, places
from workbench.exporters.sequences import logprobs_after_cut
from workbench.exporters.tokenise import hold_against, tokenise
from workbench.exporters.tokens import token_rows
from workbench.exporters.worth import Pulls, pulls
from workbench.log.columns import CONTENTS
from workbench.wording import are

if TYPE_CHECKING:
    from workbench.exporters.assembly import Layout

_OTHERS = "told.json"
_ADDED_UP = ("drifting_steps", "cut_replies", "rebuilt_steps")


@dataclass(frozen=True, kw_only=True)
class Told:
    """Facts of laid-out rows for a manifest; those of many rows join those of their parts.

    Args:
        steps: The steps that are in them; texts and token ids are not asked for.
        lost: The ids of those that a chat template left out.
        tokens: Where token ids are from; see `Manifest.tokens`.
        unit: What a row is: "trajectory", "step", "pair", or "mixed".
        counts: What the rows hold.
        checks: Name -> whether it holds; null where it does not apply.
        pulls: What pulls in them.
    """

    steps: pl.DataFrame
    lost: pl.DataFrame
    tokens: Mapping[str, Any]
    unit: str
    counts: Mapping[str, int]
    checks: Mapping[str, bool | None]
    pulls: Pulls

    @classmethod
    def joined(cls, parts: Sequence[Told]) -> Told:
        """Facts of all parts of a batch, in their order."""
        units = {part.unit for part in parts}
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.counts)
        return cls(
            steps=pl.concat([part.steps for part in parts]),
            lost=pl.concat([part.lost for part in parts]),
            tokens=_tokens_joined([part.tokens for part in parts]),
            unit=units.pop() if len(units) == 1 else "mixed",
            counts=dict(counts),
            checks={name: _all(part.checks[name] for part in parts) for name in parts[0].checks},
            pulls=Pulls.joined([part.pulls for part in parts]),
        )

    def write(self, folder: Path) -> None:
        """Keep it in a folder, without texts and token ids."""
        frames = {
            "steps": self.steps.select(pl.exclude(CONTENTS)),
            "lost": self.lost,
            "rows": self.pulls.rows,
            "pulls": self.pulls.steps,
        }
        for name, frame in frames.items():
            frame.write_parquet(folder / f"{name}.parquet")
        others = {name: getattr(self, name) for name in ("tokens", "unit", "counts", "checks")}
        (folder / _OTHERS).write_text(json.dumps(others), encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Told:
        """Facts that `write` stored."""
        names = ("steps", "lost", "rows", "pulls")
        frames = [pl.read_parquet(folder / f"{name}.parquet", glob=False) for name in names]
        steps, lost, rows, pulling = frames
        others = json.loads((folder / _OTHERS).read_text(encoding="utf-8"))
        return cls(steps=steps, lost=lost, pulls=Pulls(rows=rows, steps=pulling), **others)


@dataclass(frozen=True, kw_only=True)
class LaidOut:
    """Steps laid out as rows.

    Args:
        rows: As `Batch.rows`.
        steps: As `Batch.steps`.
        told: What a manifest asks of them.
    """

    rows: pl.DataFrame
    steps: pl.DataFrame
    told: Told


def _all(values: Iterable[bool | None]) -> bool | None:
    known = [value for value in values if value is not None]
    return all(known) if known else None


def _tokens_joined(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Origin of the token ids of all parts: counts are summed, all else is the same."""
    whole = dict(records[0])
    for name in _ADDED_UP:
        if whole.get(name) is not None:
            whole[name] = sum(record[name] for record in records)
    if "not_shown" in whole:
        lost: Counter[str] = Counter()
        for record in records:
            lost.update(record["not_shown"])
        whole["not_shown"] = dict(lost)
    return whole


def lay_out(steps: pl.DataFrame, layout: Layout, options: Options, *, token_level: bool) -> LaidOut:
    """Lay selected steps out as rows; what no part of them decides by itself is left to others.

    Args:
        steps: Selected steps of whole groups, in canonical order.
        layout: What the target asks for.
        options: What the user asks for.
        token_level: Whether every step of the batch has token ids.

    Raises:
        ParameterError: A step breaks a rule of the batch.
        MissingInputError: The target needs token ids, and there are none.
        EmptyBatchError: The chat template can render none of them.
    """
    steps = steps.with_columns(_weight(options.weight))
    steps, record, lost = _tokens(steps, layout, options, token_level=token_level)
    made = _text_batch if record["from"] is None else _token_batch
    rows, entries = made(steps, options.unit or layout.unit)
    trained = _trains(rows)
    if not layout.trained_only:
        entries["counts"]["rows_that_train_nothing"] = rows.height - int(trained.sum())
    else:
        entries["counts"] |= _unwritten(steps, rows, trained)
        if not layout.pairs:  # what is in no pair would have been no line
            entries["counts"]["rows_without_training"] = rows.height - int(trained.sum())
        rows = _folded(rows.filter(trained))
        if "of_rows" in entries:
            entries["of_rows"] = entries["of_rows"].filter(trained)
    if "of_rows" in entries:
        sums = entries["of_rows"].sum().row(0, named=True)
        entries["counts"] = {**sums, **entries["counts"]}
    if layout.cut:
        rows = rows.with_columns(logprobs_after_cut())
    told = Told(
        steps=steps,
        lost=lost.select(STEP),
        tokens=record,
        unit="pair" if layout.pairs else entries["unit"],
        counts=row_counts(rows, pairs=layout.pairs) | entries["counts"],
        checks=row_checks(rows) | entries["checks"],
        pulls=pulls(rows),
    )
    return LaidOut(rows=rows, steps=steps, told=told)


def _tokens(
    steps: pl.DataFrame, layout: Layout, options: Options, *, token_level: bool
) -> tuple[pl.DataFrame, Mapping[str, Any], pl.DataFrame]:
    """The steps, with token ids where there are any or shall be, and where those are from.

    And the steps that a chat template left out.

    Raises:
        MissingInputError: The target needs token ids, and there are none.
    """
    if options.tokenizer is not None and layout.contents == "texts":
        raise ParameterError(
            f"{layout.trainer or layout.format} takes messages and tokenises them itself. Hint: "
            "leave the tokenizer away"
        )
    if options.tokenizer is not None and (token_level or layout.tokenises):
        tokenizer = Tokenizer.load(options.tokenizer)
        made = (
            hold_against(steps, tokenizer)
            if token_level
            else tokenise(steps, tokenizer, template_loss=options.template_loss)
        )
        return made.steps, made.record, made.left_out
    if token_level:
        return steps, {"from": "log", "tokenizer": None, "drifting_steps": None}, steps.clear()
    if layout.contents == "tokens":
        make = "name the policy's tokenizer with --tokenizer, or " if layout.tokenises else ""
        raise MissingInputError(
            f"{layout.trainer or layout.format} trains on token ids, which the log does not have: "
            f"{places(steps)}. Hint: {make}take the target weighted-batch, datasets, sft-jsonl, "
            "kto or dpo, whose rows may be messages"
        )
    return steps, {"from": None, "tokenizer": None, "drifting_steps": None}, steps.clear()


def _weight(name: str) -> pl.Expr:
    if name == "none":
        return pl.lit(1.0).alias("weight")
    trained = pl.col("gradient_mask").sum().over("trajectory_id")
    return pl.when(trained > 0).then(1 / trained).otherwise(0.0).alias("weight")


def _trains(rows: pl.DataFrame) -> pl.Series:
    """True for each row in which something is trained."""
    return rows["loss_mask" if "input_ids" in rows.columns else "step_mask"].list.contains(1)


def _unwritten(steps: pl.DataFrame, rows: pl.DataFrame, written: pl.Series) -> dict[str, int]:
    """Counts of steps whose row is not written, and of trajectories that have no row at all."""
    # A row holds the steps up to its last one, from where the row before it ends.
    ends = rows.select("trajectory_id", "step_index", written.alias("written"))
    own = steps.select("trajectory_id", "step_index").join(
        ends, on=["trajectory_id", "step_index"], how="left", maintain_order="left"
    )
    own = own.with_columns(pl.col("written").backward_fill().over("trajectory_id"))
    some = own.group_by("trajectory_id").agg(pl.col("written").any())["written"]
    return {
        "steps_not_written": int((~own["written"]).sum()),
        "trajectories_not_written": int((~some).sum()),
    }


def _folded(kept: pl.DataFrame) -> pl.DataFrame:
    """Rows that train something, their weight multiplied into the advantages.

    Raises:
        ParameterError: A row begins with a trained token, which nothing predicts.
    """
    values = "step_advantages"
    if "input_ids" in kept.columns:
        values = "advantages"
        first = kept.filter(pl.col("loss_mask").list.first() == 1)
        if not first.is_empty():
            raise ParameterError(
                f"{are(first.height, 'row', 'begin')} with a trained token, so that no token "
                f"predicts it: {places(first)}. Hint: log the prompt's token ids too"
            )
    size = kept[values].list.len().to_numpy().astype(np.int64)
    factors = np.repeat(kept["weight"].to_numpy(), size)
    product = flat(kept[values]).to_numpy() * factors
    return kept.with_columns(
        nested(product.astype(np.float32), size, values),
        pl.lit(1.0, dtype=pl.Float32).alias("weight"),
    )


def _token_batch(steps: pl.DataFrame, unit: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows of token ids, and what the manifest says of them."""
    laid_out = token_rows(steps, unit=unit)
    rows, as_steps = laid_out.rows, laid_out.trajectories_as_steps
    whole = steps["trajectory_id"].n_unique() - as_steps
    sampled = pl.col("response_ids").list.len() > 0
    if "response_mask" in steps.columns:
        sampled &= pl.col("response_mask").is_null() | pl.col("response_mask").list.contains(1)
    return rows, {
        "unit": "step" if unit == "step" or not whole else "mixed" if as_steps else "trajectory",
        "counts": {
            "steps_without_tokens": int(steps.select((~sampled).sum()).item()),
            "trajectories_as_steps": as_steps,
        },
        "checks": {"prefix_property": laid_out.prefix_property},
    }


def _text_batch(steps: pl.DataFrame, unit: str | None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """Rows of messages, and what the manifest says of them."""
    unit = unit or "trajectory"
    laid_out = text_rows(steps, unit=unit)
    return laid_out.rows, {
        "unit": unit,
        "counts": {},
        "of_rows": laid_out.counts,
        "checks": {"prefix_property": None},
    }


def row_checks(rows: pl.DataFrame) -> dict[str, bool]:
    """The checks of a manifest that its rows alone decide.

    Returns:
        lengths_equal: The lists of a row are of one length; log-probabilities may be missing.
        masked_advantages_zero: No advantage stands where nothing is trained.
        logprobs_present: Every row has log-probabilities; never in a batch of messages.
    """
    others: tuple[str, ...] = ()
    mask, values = "step_mask", "step_advantages"
    if "input_ids" in rows.columns:
        mask, values, others = "loss_mask", "advantages", ("input_ids", "step_ids", "old_logprobs")
    size = pl.col(mask).list.len()
    same = [(pl.col(name).list.len() == size).fill_null(value=True) for name in (values, *others)]
    lengths_equal = bool(rows.select(pl.all_horizontal(same).all()).item())
    idle = flat(rows[mask]) == 0
    return {
        "lengths_equal": lengths_equal,
        "masked_advantages_zero": lengths_equal and not (idle & (flat(rows[values]) != 0)).any(),
        "logprobs_present": "old_logprobs" in others and rows["old_logprobs"].null_count() == 0,
    }


def row_counts(rows: pl.DataFrame, *, pairs: bool = False) -> dict[str, int]:
    """The counts of a manifest that its rows alone decide.

    Returns:
        rows (half as many where two make a pair), tokens and trained_tokens, or rows, messages and
        trained_steps; what is trained is left out where the rows have no mask.
    """
    lists, size, mask, trained = "input_ids", "tokens", "loss_mask", "trained_tokens"
    if lists not in rows.columns:
        lists, size, mask, trained = "messages", "messages", "step_mask", "trained_steps"
    counted = {"rows": rows.height // (2 if pairs else 1), size: int(lengths(rows[lists]).sum())}
    if mask in rows.columns:
        counted[trained] = int(flat(rows[mask]).cast(pl.Int64).sum())
    return counted
