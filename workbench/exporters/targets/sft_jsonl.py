"""Conversations with a weight for each assistant message, as fine-tuning services take them.

`sft.jsonl` has one object a conversation, with nothing but `messages` and, where tools were
offered, `tools`: OpenAI and Together read `weight` 0 and 1 (`weights=binary`), other code may read
numbers. What a row is of, and the advantages whatever the weights, stand in `credit.jsonl`, line by
line; `last_step_index` there is the row's last step, which tells a trajectory's segments apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa

from workbench.errors import ArtefactError, ParameterError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import SupervisedOptions
from workbench.exporters.replies import (
    KEY,
    dictionaries,
    frame_of,
    read_objects,
    single,
    write_objects,
)
from workbench.exporters.tables import write_lines

FILE, CREDIT = "sft.jsonl", "credit.jsonl"

_LAST = "last_step_index"
_CREDIT = [
    *((_LAST if name == "step_index" else name, kind) for name, kind in KEY),
    ("reward", pa.float32()),
    ("step_advantages", pa.list_(pa.float32())),
    ("step_mask", pa.list_(pa.int8())),
]


def write(batch: Batch, folder: Path) -> None:
    """Write `sft.jsonl` and `credit.jsonl`."""
    binary = batch.manifest.options["weights"] == "binary"
    write_objects(_conversations(batch.rows, binary=binary), folder / FILE)
    rows = batch.rows.rename({"step_index": _LAST})
    write_lines(rows.select(name for name, _ in _CREDIT), folder / CREDIT)


def _conversations(rows: pl.DataFrame, *, binary: bool) -> Iterator[dict[str, Any]]:
    """The rows as a service reads them.

    Raises:
        ParameterError: A reply has a weight of its own, which would be lost.
    """
    for row in dictionaries(rows, "messages"):
        own = [m for m in row["messages"] if m["role"] == "assistant" and "weight" in m]
        if own:
            raise ParameterError(
                f"a reply of trajectory {row['trajectory_id']!r} has a weight of its own in the "
                f"log, {own[0]['weight']!r}, which that of the credit would replace. Hint: take "
                "it out of the log's messages, or --to datasets, which keeps both"
            )
        values = iter(row["step_mask"] if binary else map(single, row["step_advantages"]))
        messages = [
            {**message, "weight": next(values)} if message["role"] == "assistant" else message
            for message in row["messages"]
        ]
        offered = {"tools": json.loads(row["tools"])} if "tools" in row else {}
        yield {"messages": messages, **offered}


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The rows again.

    Raises:
        ArtefactError: A weight is not what `credit.jsonl` says, or the files are of other rows.
    """
    path = folder / FILE
    talks = read_objects(path)
    credit = frame_of(read_objects(folder / CREDIT), _CREDIT, folder / CREDIT)
    if len(talks) != credit.height:
        raise ArtefactError(
            f"{folder}: {FILE} and {CREDIT} have {len(talks)} and {credit.height} lines"
        )
    found = []
    for talk in talks:
        messages = talk.get("messages")
        tools = talk.get("tools")
        found.append({"messages": messages, "tools": None if tools is None else _json(tools)})
    binary = manifest.options["weights"] == "binary"
    expected = credit["step_mask" if binary else "step_advantages"].to_list()
    for number, (entry, values) in enumerate(zip(found, expected, strict=True), start=1):
        _take_weights(entry["messages"], values, f"{path} line {number}")
    texts = frame_of(found, [("tools", pa.string())], path, "messages")
    return pl.concat([credit.rename({_LAST: "step_index"}), texts], how="horizontal")


def _take_weights(messages: Any, expected: list[float], place: str) -> None:
    """Remove the weights of assistant messages, which must be these.

    Raises:
        ArtefactError: They are others.
    """
    if not isinstance(messages, list) or not all(isinstance(each, dict) for each in messages):
        raise ArtefactError(f"{place}: messages is not a list of messages")
    replies = [each for each in messages if each.get("role") == "assistant"]
    found = [each.pop("weight", None) for each in replies]
    if found != [value if type(value) is int else single(value) for value in expected]:
        raise ArtefactError(f"{place}: weights are {found}, but {CREDIT} says {expected}")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


_ADVANTAGES = (
    "both take only the weights 0 and 1, and those of this target are advantages: export with "
    "--to sft-jsonl -p weights=binary"
)


def _services(options: SupervisedOptions) -> str:
    """The advice for fine-tuning services, by the weights that are in the files."""
    if options.weights == "binary":
        return "nothing has to be done: the weights are 0 and 1, which both take as they are"
    return _ADVANTAGES


register(
    Exporter(
        name="sft-jsonl",
        description="JSON lines of conversations with a weight for each assistant message.",
        layout=Layout(
            format="workbench-sft-jsonl",
            version=2,
            trainer="OpenAI, Together",
            turn_off=_ADVANTAGES,
            turn_off_by=_services,
            unit="trajectory",
            contents="texts",
        ),
        write=write,
        read=read,
        dataset=FILE,
        appends=True,
        options_type=SupervisedOptions,
    )
)
