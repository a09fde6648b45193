"""TRL completions: `completions_<step>.parquet` of `log_completions=True`, one rollout per row."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import ParameterError
from workbench.log.conversation import canonical_json
from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, records_of
from workbench.readers.formats.verifiers import SAMPLE
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turns
from workbench.readers.records import (
    digest,
    kept_fields,
    notice_untold_images,
    of_step,
    parts_of_records,
    whole,
)
from workbench.readers.rows import StepRows, number
from workbench.readers.systems import folder_of
from workbench.readers.tables import parquet_schema

_NAME = "completions_*"
_COLUMNS = frozenset({"step", "prompt", "completion", "advantage"})
_TALKS = frozenset({"prompt", "completion"})
_CELLS = Cells(objects=_TALKS | {"advantage"}, texts=_TALKS)


@reader(
    "trl",
    description="TRL completions Parquet of GRPO and its kin, one rollout per row",
    run=folder_of,
)
class Trl:
    """Steps are the assistant messages of the completion; a group is one prompt at one step.

    Columns of reals between `completion` and `advantage` are taken for rewards, or those of whole
    numbers where there is none but a column of nulls, and kept as `aux_reward_<name>`; the outcome
    is their sum without NaN, as TRL adds them with its default weights; a rollout with none is
    unscorable. With other weights, or where such a column is no reward, name the outcome with a
    mapping of `reward`. Tables hold every argument of every tool
    call for each of them, so arguments that are null are left out. TRL writes a generation again
    at every step that trains on it; a file that repeats the one before it is read and stated.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """The columns that TRL writes, in a table that is not prime-rl's."""
        keys = first_keys(path, head)
        return keys >= _COLUMNS and not keys >= SAMPLE

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rows; `columns` may name the reward to take."""
        refuse_mapping(columns, "TRL completions", but="reward")
        diagnostics = Diagnostics()
        rewards = _rewards(path, columns.get("reward"), diagnostics)
        if (before := _repeated(path)) is not None:
            text = "all but the step is as in {}: one generation that several steps trained on"
            diagnostics.notice(text.format(before.name), str(path))
        yield Part(frame=StepRows(diagnostics).frame(), diagnostics=diagnostics)
        add = partial(_add, rewards=rewards)
        yield from parts_of_records(path, add, cells=_CELLS, numbered=True)


def _rewards(path: Path, told: str | None, diagnostics: Diagnostics) -> tuple[str, ...]:
    """The columns whose sum is the outcome; none where the file cannot be read."""
    kinds = _kinds(path)
    names = list(kinds)
    if told is not None:
        if told not in kinds:
            raise ParameterError(
                f"the column mapping names {told!r}, which {path} does not have; found {names}"
            )
        return (told,)
    if not kinds.keys() >= _COLUMNS:
        return ()
    between = names[names.index("completion") + 1 : names.index("advantage")]
    found = tuple(name for name in between if kinds[name] is float)
    if not found and any(kinds[name] is None for name in between):
        # A reward that never applied leaves a column without a type; the others may be whole.
        found = tuple(name for name in between if kinds[name] is int)
    if not found:
        diagnostics.notice("no column holds rewards: rewards are null", str(path))
    elif len(found) > 1:
        text = f"the reward is the sum of {list(found)}; weights are not logged"
        diagnostics.notice(text, str(path))
    return found


def _kinds(path: Path) -> dict[str, type | None]:
    """Key -> float, int or str where its values are real, whole or others; None where all are null.

    A Parquet file says it in its schema; of another one every record is looked at.
    """
    if schema := parquet_schema(path):
        return {name: _kind(dtype) for name, dtype in schema.items()}
    seen: dict[str, set[type | None]] = {}
    for _, record in records_of(path, Diagnostics(), _CELLS):
        for key, value in record.items():
            kind = type(value) if type(value) in {int, float} else None if value is None else str
            seen.setdefault(key, set()).add(kind)
    wide = (str, float, int, None)
    return {key: next(kind for kind in wide if kind in kinds) for key, kinds in seen.items()}


def _kind(dtype: pl.DataType) -> type | None:
    if dtype.is_float():
        return float
    return int if dtype.is_integer() else None if dtype == pl.Null else str


def _repeated(path: Path) -> Path | None:
    """The file of the step before, if this one holds the same rollouts."""
    earlier = [file for file in sorted(path.parent.glob(_NAME)) if file.name < path.name]
    if not earlier or not path.match(_NAME):
        return None
    with (
        closing(records_of(path, Diagnostics(), _CELLS)) as own,
        closing(records_of(earlier[-1], Diagnostics(), _CELLS)) as before,
    ):
        nothing: tuple[int, Record] = (0, {})
        pairs = itertools.zip_longest(own, before, fillvalue=nothing)
        same = all(_repeats(one, other) for (_, one), (_, other) in pairs)
    return earlier[-1] if same else None


def _repeats(one: Record, other: Record) -> bool:
    """True if two rows differ only in the step; as text, in which NaN is equal to itself."""
    return canonical_json(one | {"step": None}) == canonical_json(other | {"step": None})


def _add(
    rows: StepRows,
    record: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    rewards: Sequence[str],
) -> None:
    try:
        step = whole(record.get("step"))
        prompt = _messages(record.get("prompt"), "user")
        said = _turns(prompt, record.get("completion"))
        scores = {name: number(record.get(name)) for name in rewards}
        advantage = record.get("advantage")
        advantage = None if isinstance(advantage, list) else number(advantage)
    except ValueError as error:
        diagnostics.problem("completion", str(error), place)
        return
    if not said:
        diagnostics.drop("completion", "holds no assistant message, so no step", place)
        return
    notice_untold_images(prompt, diagnostics, place)
    rows.add(
        said,
        line=line,
        outcome=_sum([score for score in scores.values() if score is not None]),
        fields={
            "group_id": of_step(step, digest(prompt)),
            "trajectory_id": None,
            "train_step": step,
            "logged_advantage": advantage,
        }
        | kept_fields(record, _COLUMNS | set(rewards)),
        last_fields={f"aux_reward_{name}": score for name, score in scores.items()},
    )


def _sum(scores: Sequence[float]) -> float | None:
    """The sum without NaN; NaN where nothing else is there, None where nothing is."""
    finite = [score for score in scores if score == score]  # noqa: PLR0124  NaN is no score
    if finite:
        return sum(finite)
    return scores[0] if scores else None


def _turns(prompt: list[Record], completion: Any) -> list[Turn]:
    answer = _messages(completion, "assistant")
    return turns([*prompt, *answer], range(len(prompt), len(prompt) + len(answer)))


def _messages(given: Any, role: str) -> list[Record]:
    """Messages, or text as one message.

    Raises:
        ValueError: It is neither.
    """
    if isinstance(given, str):
        return [{"role": role, "content": given}]
    if not isinstance(given, list):
        raise ValueError("is neither text nor a list of messages")
    return given
