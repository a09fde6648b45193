"""OpenPipe ART: `trajectories/<split>/<step>.parquet`, one trajectory per row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.bounds import loaded
from workbench.readers.containers import Cells, first_keys
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import turns
from workbench.readers.records import of_step, parts_of_records, step_of_name
from workbench.readers.rows import StepRows, number, say_text_numbers
from workbench.readers.systems import folder_above

_COLUMNS = frozenset({"group_index", "reward", "messages", "group_metadata"})
_CELLS = Cells(objects=frozenset({"messages", "tools"}))


@reader(
    "art", description="OpenPipe ART trajectories Parquet, one trajectory per row", run=folder_above
)
class Art:
    """Steps are the messages that are marked trainable; the reward is the outcome.

    An assistant message that is not trainable was put into the context and is history. A group is
    a `group_index` of one file. Split and step are those of the path, as ART writes it.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """The columns that ART writes."""
        return first_keys(path, head) >= _COLUMNS

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rows; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "ART trajectories")
        step = step_of_name(path, r"/(\d+)\.\w+$")
        add = partial(_add, split=path.parent.name, step=step)
        return parts_of_records(path, add, cells=_CELLS, numbered=True)


def _add(
    rows: StepRows,
    record: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    split: str,
    step: int | None,
) -> None:
    group = record.get("group_index")
    if group is None:
        diagnostics.problem("group_index", "is missing or null", place)
        return
    messages = record.get("messages") or []
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        diagnostics.problem("messages", "is no list of messages", place)
        return
    trainable = [at for at, message in enumerate(messages) if message.get("trainable")]
    try:
        told = [_message(message) for message in messages]
        said = turns(told, trainable, record.get("tools"))
        reward = number(record.get("reward"))
        say_text_numbers([record.get("reward")], diagnostics, place)
    except (ValueError, RecursionError) as error:
        diagnostics.problem("messages", str(error), place)
        return
    if not said:
        diagnostics.drop("messages", "hold no trainable message, so no step", place)
        return
    rows.add(
        said,
        line=line,
        outcome=reward,
        fields={
            "group_id": of_step(step, f"{split}/{group}" if split else str(group)),
            "trajectory_id": None,
            "train_step": step,
            "split": split or None,
            "metrics": record.get("metrics"),
            "metadata": record.get("metadata"),
        },
    )


def _message(message: Record) -> Record:
    """A message without its mark, whose tool calls, which the table has as JSON text, are values.

    Raises:
        ValueError: They are no JSON.
    """
    told = {key: value for key, value in message.items() if key != "trainable"}
    calls = told.get("tool_calls")
    return told | {"tool_calls": loaded(calls)} if isinstance(calls, str) else told
