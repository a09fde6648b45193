"""A scored log as the rows of a batch, with the manifest that says how they came about."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

from workbench.errors import EmptyBatchError
from workbench.exporters.chat_template import DIGESTS
from workbench.exporters.laid_out import LaidOut, Told, lay_out
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import WEIGHTS, Options
from workbench.exporters.origin import method_entries, policies, tokenizer_of
from workbench.exporters.selection import (
    PAIRLESS,
    STEP,
    UNTRAINED,
    Selection,
    counts,
    select,
    training_counts,
)
from workbench.exporters.worth import Worth, faint, worth
from workbench.files import package_version
from workbench.log.credit import Provenance, ScoredCredit
from workbench.log.redaction import read_rules, redacted, said
from workbench.log.remarks import moments, of_credit, of_log
from workbench.wording import number_of

_SCOPES = {True: "per_token(step-broadcast)", False: "per_step(assistant message)"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Requirements of a target on its rows.

    Args:
        format: What its folder holds, such as "workbench-weighted-batch".
        version: Version of that format.
        trainer: Who trains on it; None for a format that any trainer may read.
        turn_off: What would normalise the advantages again in that trainer, or else has to be done.
        turn_off_by: The same for files of some options, where it depends on them.
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
        pairs: Whether two rows make one line of the files, which is what is counted then.
        set_aside: Gives the selected steps back without those that the target cannot train:
            `gradient_mask` false, and a key of `selection.UNTRAINED` in `untrained`.
        require: Refuses steps that the files cannot be written from, whatever their credit.
    """

    format: str
    version: int = 1
    trainer: str | None = None
    turn_off: str = ""
    turn_off_by: Callable[[Any], str] | None = None
    any_trainer: Callable[[], Mapping[str, str]] = dict
    unit: str | None = None
    contents: Literal["tokens", "texts", "either"] = "tokens"
    tokenises: bool = True
    cut: bool = False
    trained_only: bool = True
    pairs: bool = False
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
    """Select, weigh and lay out the steps of a scored log.

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
    found = laid_out(selection, layout, options)
    notes = [*notes_of(log, credit), *redaction]
    value = worth_of(found.told)
    manifest = described(
        selection, found.told, credit.provenance, layout, options, value=value, notes=notes
    )
    return Batch(rows=found.rows, steps=found.steps, manifest=manifest, worth=value)


def laid_out(selection: Selection, layout: Layout, options: Options) -> LaidOut:
    """Selected steps as rows, those set aside that the target cannot train.

    Args:
        selection: The steps, or those of some groups of them.
        layout: What the target asks for.
        options: What the user asks for.

    Raises:
        WorkbenchError: What `lay_out` says.
    """
    steps = selection.steps
    if layout.set_aside is not None:
        steps = layout.set_aside(steps, options)
    return lay_out(steps, layout, options, token_level=selection.token_level)


def described(
    selection: Selection,
    told: Told,
    made: Provenance,
    layout: Layout,
    options: Options,
    *,
    value: Worth,
    notes: Sequence[str],
) -> Manifest:
    """Manifest of a batch's rows.

    Args:
        selection: What was selected; its steps are not asked for.
        told: What the rows tell.
        made: How their credit was made.
        layout: What the target asks for.
        options: What the user asks for.
        value: Worth of the rows.
        notes: What is to be known of the credit.

    Raises:
        ParameterError: The token ids are of several tokenizers.
    """
    steps, by_token = told.steps, told.tokens["from"] is not None
    return Manifest(
        format=layout.format,
        version=layout.version,
        package_version=package_version(),
        source=dict(made.log),
        representation={"embedder": made.embedder, "state_text": made.state_text},
        policy=policies(steps),
        tokenizer=tokenizer_of(steps) if by_token else None,
        tokens=told.tokens,
        unit=told.unit,
        token_level=by_token,
        advantage_scope=_SCOPES[by_token],
        weight={
            "name": options.weight,
            "value": WEIGHTS[options.weight],
            "multiplies": "the advantages" if layout.trained_only else "the loss of each token",
        },
        options=options.recorded(),
        input=selection.input,
        dropped={**selection.dropped, "template": counts(told.lost)},
        counts={**counts(steps), **_step_counts(selection, steps, value), **told.counts},
        worth=value.summary(),
        advantages=_moments(steps),
        checks=told.checks,
        notes=notes,
        turn_off=_turn_off(layout, options),
        **method_entries(made),
    )


def _redacted(log: pl.DataFrame, options: Options) -> tuple[pl.DataFrame, list[str]]:
    """The log as it may leave the house, and what was replaced in it."""
    if not options.redact:
        return log, []
    log, found = redacted(log, read_rules(options.redact))
    return log, [f"redacted: {said(found)}"]


def _moments(steps: pl.DataFrame) -> dict[str, Any]:
    """Mean, std, range and share of zeros of the advantages of the trained steps, faint groups."""
    trained = steps.filter("gradient_mask")
    return {
        "faint": dataclasses.asdict(faint(steps)),
        "steps": trained.height,
        **trained.select(moments(pl.col("advantage"))).row(0, named=True),
    }


def notes_of(log: pl.DataFrame, credit: ScoredCredit) -> list[str]:
    """Notes of the credit, and remarks on any credit like it."""
    made = credit.provenance
    remarks = [*of_log(log), *of_credit(log, credit.table, made.method.get("fields") or {})]
    return list(dict.fromkeys([*made.notes, *map(str, remarks)]))


def _turn_off(layout: Layout, options: Options) -> Mapping[str, str]:
    """Trainer -> what would normalise the advantages again, for all that may read the files."""
    if layout.trainer is None:
        return dict(layout.any_trainer())
    by_options = layout.turn_off_by
    return {layout.trainer: layout.turn_off if by_options is None else by_options(options)}


def rehearse(log: pl.DataFrame, layout: Layout, options: Options) -> dict[str, Any]:
    """Refuse what `assemble` would refuse whatever the credit, before there is one.

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
    try:
        found = lay_out(few, layout, options, token_level=selection.token_level)
    except EmptyBatchError:  # the chat template may render others
        found = lay_out(steps, layout, options, token_level=selection.token_level)
    worth_of(found.told)
    kept = {name: found.told.tokens.get(name) for name in ("tokenizer", *DIGESTS)}
    return {"options": options.recorded(), "tokenizer": kept}


def worth_of(told: Told) -> Worth:
    """Worth of the rows.

    Raises:
        EmptyBatchError: Nothing.
    """
    value, steps = worth(told.pulls), told.steps
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
        if PAIRLESS & set(counted["untrained"]):
            hint = (
                "a pair takes two replies to one and the same prompt; kto and sft-jsonl take none"
            )
        else:
            hint = "gradient_mask of the log, positive_only and top_share say which are"
    raise EmptyBatchError(f"the batch would train nothing: {why}. Hint: {hint}")


def _step_counts(selection: Selection, steps: pl.DataFrame, value: Worth) -> dict[str, int]:
    lengths = steps.group_by("trajectory_id").len()["len"].to_list()
    return {
        **training_counts(steps),
        "masks_changed": selection.masks_changed,
        "zero_advantage_groups": value.groups.filter(pl.col("share") == 0).height,
        "shortest_trajectory": min(lengths),
        "longest_trajectory": max(lengths),
    }
