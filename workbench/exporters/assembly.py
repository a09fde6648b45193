"""A scored log as the rows of a batch, with the manifest that says how they came about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from workbench.errors import EmptyBatchError, MissingInputError, ParameterError
from workbench.exporters.chat_template import DIGESTS, Tokenizer
from workbench.exporters.conversations import text_rows
from workbench.exporters.lists import flat, lengths, nested
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import WEIGHTS, Options
from workbench.exporters.origin import method_entries, policies, tokenizer_of
from workbench.exporters.selection import (
    STEP,
    UNTRAINED,
    Selection,
    counts,
    places,
    select,
    training_counts,
)
from workbench.exporters.sequences import logprobs_after_cut
from workbench.exporters.tokenise import hold_against, tokenise
from workbench.exporters.tokens import token_rows
from workbench.exporters.worth import Worth, worth
from workbench.files import package_version
from workbench.log.credit import ScoredCredit
from workbench.log.redaction import read_rules, redacted, said
from workbench.log.remarks import moments, of_credit, of_log
from workbench.wording import are, number_of


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Requirements of a target on its rows.

    Args:
        format: What its folder holds, such as "workbench-weighted-batch".
        version: Version of that format.
        trainer: Who trains on it; None for a format that any trainer may read.
        turn_off: What would normalise the advantages again in that trainer.
        any_trainer: For a format that any trainer may read: gives trainers, each with what would
            normalise the advantages again in it.
        unit: What a row is where the user leaves it open.
        contents: What a row holds: "tokens", "texts" (messages, whether the log has token ids or
            not), or "either": token ids where there are any, messages otherwise.
        tokenises: Whether a log of texts can be given token ids for it, with a tokenizer; no
            matter where rows are texts.
        cut: Whether what stands before a row's first trained token is a prompt, whose tokens have
            no log-probabilities.
        trained_only: Whether rows without a trained token are left out, and the weight is
            multiplied into the advantages, because the trainer has no field for it.
        set_aside: Gives the selected steps back without those that the target cannot train:
            `gradient_mask` false, and a key of `selection.UNTRAINED` in `untrained`.
        require: Refuses steps that the files cannot be written from, whatever their credit.
    """

    format: str
    version: int = 1
    trainer: str | None = None
    turn_off: str = ""
    any_trainer: Callable[[], Mapping[str, str]] = dict
    unit: str | None = None
    contents: Literal["tokens", "texts", "either"] = "tokens"
    tokenises: bool = True
    cut: bool = False
    trained_only: bool = True
    set_aside: Callable[[pl.DataFrame, Any], pl.DataFrame] | None = None
    require: Callable[[pl.DataFrame], object] = lambda steps: None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch before it is written.

    Args:
        rows: Columns of `weighted_batch.TOKEN_SCHEMA` (or `TEXT_SCHEMA`) and three more:
            step_index (the row's last step), policy_version (the oldest; null where not logged)
            and truncated (whether a limit cut the row's last step).
        steps: The log's rows that are in it, in canonical order, with advantage and weight.
        manifest: What the batch says of itself, without `files`.
        worth: What it is worth to a trainer.
    """

    rows: pl.DataFrame
    steps: pl.DataFrame
    manifest: Manifest
    worth: Worth


def assemble(
    log: pl.DataFrame,
    credit: ScoredCredit,
    layout: Layout,
    options: Options,
) -> Batch:
    """Selects, weighs and lays out the steps of a scored log.

    Args:
        log: A validated step log.
        credit: The credit of the same steps.
        layout: What the target asks for.
        options: What the user asks for.

    Raises:
        ParameterError: An option cannot be, or a step breaks a rule of the batch.
        MissingInputError: The target needs token ids, and there are none.
        EmptyBatchError: Nothing is left to export, or nothing of it would train a policy.
        LogError: A redaction would leave what it matches in ids or in token ids.
    """
    log, redaction = _redacted(log, options)
    selection = select(log, credit.table, options, texts=layout.contents == "texts")
    chosen = selection.steps
    if layout.set_aside is not None:
        chosen = layout.set_aside(chosen, options)
    steps, record, rows, entries, lost = _laid_out(
        chosen, layout, options, token_level=selection.token_level
    )
    value = _worth(rows, steps)
    made = credit.provenance
    method = method_entries(made)
    manifest = Manifest(
        format=layout.format,
        version=layout.version,
        package_version=package_version(),
        source=dict(made.log),
        representation={"embedder": made.embedder, "state_text": made.state_text},
        policy=policies(steps),
        tokens=record,
        token_level=record["from"] is not None,
        weight={
            "name": options.weight,
            "value": WEIGHTS[options.weight],
            "multiplies": "the advantages" if layout.trained_only else "the loss of each token",
        },
        options=options.recorded(),
        input=selection.input,
        dropped={**selection.dropped, "template": counts(lost)},
        counts=counts(steps)
        | _step_counts(selection, steps)
        | row_counts(rows)
        | entries.pop("counts"),
        worth=value.summary(),
        advantages=_moments(steps),
        notes=[*_notes(log, credit), *redaction],
        turn_off=_turn_off(layout),
        **method,
        **entries,
    )
    return Batch(rows=rows, steps=steps, manifest=manifest, worth=value)


def _redacted(log: pl.DataFrame, options: Options) -> tuple[pl.DataFrame, list[str]]:
    """The log as it may leave the house, and what was replaced in it."""
    if not options.redact:
        return log, []
    log, found = redacted(log, read_rules(options.redact))
    return log, [f"redacted: {said(found)}"]


def _moments(steps: pl.DataFrame) -> dict[str, Any]:
    """Mean, std, range and share of zeros of the advantages of the trained steps."""
    trained = steps.filter("gradient_mask")
    return {
        "steps": trained.height,
        **trained.select(moments(pl.col("advantage"))).row(0, named=True),
    }


def _notes(log: pl.DataFrame, credit: ScoredCredit) -> list[str]:
    """Notes of the credit, and remarks on any credit like it."""
    made = credit.provenance
    remarks = [*of_log(log), *of_credit(log, credit.table, made.method.get("fields") or {})]
    return list(dict.fromkeys([*made.notes, *map(str, remarks)]))


def _turn_off(layout: Layout) -> Mapping[str, str]:
    """Trainer -> what would normalise the advantages again, for all that may read the files."""
    if layout.trainer is None:
        return dict(layout.any_trainer())
    return {layout.trainer: layout.turn_off}


def rehearse(log: pl.DataFrame, layout: Layout, options: Options) -> dict[str, Any]:
    """Refuses what `assemble` would refuse whatever the credit, before there is one.

    A tokenizer is tried on one trajectory only, because it is slow.

    Args:
        log: A validated step log.
        layout: What the target asks for.
        options: What the user asks for.

    Returns:
        All that decides a batch besides log and credit, JSON-able: the options, and the digests of
        their tokenizer.

    Raises:
        WorkbenchError: What `assemble` says.
    """
    likely = log.select(*STEP, pl.lit(1.0).alias("advantage"), "excluded")
    log = _redacted(log, options)[0]
    selection = select(log, likely, options, texts=layout.contents == "texts")
    steps = selection.steps
    layout.require(steps)
    few = steps
    if options.tokenizer is not None:
        trained = steps.filter("gradient_mask")
        one = (steps if trained.is_empty() else trained)["trajectory_id"][0]
        few = steps.filter(pl.col("trajectory_id") == one)
    token_level = selection.token_level
    try:
        made, record, rows, _, _ = _laid_out(few, layout, options, token_level=token_level)
    except EmptyBatchError:  # the chat template may render others
        made, record, rows, _, _ = _laid_out(steps, layout, options, token_level=token_level)
    _worth(rows, made)
    kept = {name: record.get(name) for name in ("tokenizer", *DIGESTS)}
    return {"options": options.recorded(), "tokenizer": kept}


def _laid_out(
    steps: pl.DataFrame, layout: Layout, options: Options, *, token_level: bool
) -> tuple[pl.DataFrame, Mapping[str, Any], pl.DataFrame, dict[str, Any], pl.DataFrame]:
    """Steps with weights and tokens, where those are from, the rows, what the manifest says.

    And the steps that a chat template left out.
    """
    steps = steps.with_columns(_weight(options.weight))
    steps, record, lost = _tokens(steps, layout, options, token_level=token_level)
    made = _text_batch if record["from"] is None else _token_batch
    rows, entries = made(steps, options.unit or layout.unit)
    if layout.trained_only:
        rows, entries["counts"]["rows_without_training"] = _folded(rows)
    if layout.cut:
        rows = rows.with_columns(logprobs_after_cut())
    entries["checks"] = row_checks(rows) | entries["checks"]
    return steps, record, rows, entries, lost


def _worth(rows: pl.DataFrame, steps: pl.DataFrame) -> Worth:
    """Worth of the rows.

    Raises:
        EmptyBatchError: Nothing.
    """
    value = worth(rows)
    if value.pulling:
        return value
    if value.steps:
        why = f"none of its {number_of(value.steps, 'trained step')} has an advantage other than 0"
        hint = (
            "a group whose trajectories all earn the same is dead, see `workbench facts`; it takes "
            "more rollouts or other tasks"
        )
    else:
        why = f"none of its {number_of(steps.height, 'step')} is trained"
        counted = steps["untrained"].drop_nulls().value_counts(sort=True)
        why += "".join(f"; {count:,}: {UNTRAINED[name]}" for name, count in counted.iter_rows())
        if {"unpaired", "other_history"} & set(counted["untrained"]):
            hint = (
                "a pair takes two replies to one and the same prompt; kto and sft-jsonl take none"
            )
        else:
            hint = "gradient_mask of the log, positive_only and top_share say which are"
    raise EmptyBatchError(f"the batch would train nothing: {why}. Hint: {hint}")


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


def _folded(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Rows that train something, their weight multiplied into the advantages.

    Raises:
        ParameterError: A row begins with a trained token, which nothing predicts.
    """
    if "input_ids" not in rows.columns:
        mask, values = "step_mask", "step_advantages"
    else:
        mask, values = "loss_mask", "advantages"
        first = rows.filter(pl.col(mask).list.first() == 1)
        if not first.is_empty():
            raise ParameterError(
                f"{are(first.height, 'row', 'begin')} with a trained token, so that no token "
                f"predicts it: {places(first)}. Hint: log the prompt's token ids too"
            )
    trained = rows[mask].list.contains(1)
    kept = rows.filter(trained)
    size = kept[values].list.len().to_numpy().astype(np.int64)
    factors = np.repeat(kept["weight"].to_numpy(), size)
    product = flat(kept[values]).to_numpy() * factors
    kept = kept.with_columns(
        nested(product.astype(np.float32), size, values),
        pl.lit(1.0, dtype=pl.Float32).alias("weight"),
    )
    return kept, rows.height - kept.height


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
        "tokenizer": tokenizer_of(steps),
        "advantage_scope": "per_token(step-broadcast)",
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
    rows = laid_out.rows
    return rows, {
        "unit": unit,
        "tokenizer": None,
        "advantage_scope": "per_step(assistant message)",
        "counts": {
            "rows_from_messages": laid_out.kept,
            "rows_rebuilt": rows.height - laid_out.kept,
            "rows_of_later_segments": laid_out.segments,
            "history_replies": laid_out.history,
        },
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


def row_counts(rows: pl.DataFrame) -> dict[str, int]:
    """The counts of a manifest that its rows alone decide.

    Returns:
        rows, tokens and trained_tokens, or rows, messages and trained_steps; what is trained is
        left out where the rows have no mask.
    """
    lists, size, mask, trained = "input_ids", "tokens", "loss_mask", "trained_tokens"
    if lists not in rows.columns:
        lists, size, mask, trained = "messages", "messages", "step_mask", "trained_steps"
    counted = {"rows": rows.height, size: int(lengths(rows[lists]).sum())}
    if mask in rows.columns:
        counted[trained] = int(flat(rows[mask]).cast(pl.Int64).sum())
    return counted


def _step_counts(selection: Selection, steps: pl.DataFrame) -> dict[str, int]:
    lengths = steps.group_by("trajectory_id").len()["len"].to_list()
    return {
        **training_counts(steps),
        "masks_changed": selection.masks_changed,
        "zero_advantage_groups": selection.zero_advantage_groups,
        "shortest_trajectory": min(lengths),
        "longest_trajectory": max(lengths),
    }
