"""Shared code for trainers' files: records into parts, ids from content, extra keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from workbench.log.columns import STEP_LOG, known
from workbench.log.conversation import canonical_json
from workbench.readers.base import Diagnostics, Part
from workbench.readers.containers import Cells, records_of
from workbench.readers.jsonfiles import Record
from workbench.readers.rows import StepRows
from workbench.readers.votes import is_limit

_ALIASES = frozenset(name for column in STEP_LOG for name in (*column.aliases, *column.negated))
AddRecord = Callable[[StepRows, Record, int, Diagnostics, str], None]
"""Adds the steps of a record to the rows, or what is wrong with it to the diagnostics.

Its arguments: the rows, the record, its line, the diagnostics, and its place in words.
"""

_LARGE = 2**31
_PLACEHOLDER = re.compile(
    r"<(?:image|video|audio|start_of_image|image_soft_token)>|\[(?:IMG|image|video|audio)\]"
    r"|<\|(?:image|vision|video|audio)(?:_\w+)?\|>"
)
# No set: what a record has there may be a list, which has no hash.
_PICTURES = ("image", "image_url", "input_image", "video", "audio", "input_audio")
_UNTOLD = frozenset({"type", "text"})


def parts_of_records(
    path: Path,
    add: AddRecord,
    *,
    cells: Cells | None = None,
    numbered: bool = False,
    notice: str = "",
) -> Iterator[Part]:
    """The steps of a file of records, part by part.

    Args:
        path: The file; one part of it at a time is in memory.
        add: What to do with a record.
        cells: What the cells hold where the file is a table.
        numbered: As in `Part`.
        notice: What there is to know of a file that holds a step.
    """
    diagnostics, is_empty = Diagnostics(), True
    rows = StepRows(diagnostics)
    with closing(records_of(path, diagnostics, cells)) as records:
        for number, record in records:
            add(rows, record, number, diagnostics, records.place(number))
            if rows.is_full:
                yield _part(rows, diagnostics, numbered=numbered, done=records.done)
                rows, is_empty = StepRows(diagnostics), False
    if notice and not (is_empty and rows.frame().is_empty()):
        diagnostics.notice(notice, str(path))
    yield _part(rows, diagnostics, numbered=numbered)


def _part(rows: StepRows, diagnostics: Diagnostics, *, numbered: bool, done: float = 1.0) -> Part:
    """The rows with the diagnostics so far, which start over."""
    said = Diagnostics()
    said.include(diagnostics)
    diagnostics.clear()
    frame = rows.frame()
    return Part(frame=frame, diagnostics=said, numbered=numbered and frame.height > 0, done=done)


def digest(*values: Any) -> str:
    """Twelve hexadecimal digits that tell values apart: the id of what has none."""
    text = canonical_json(values).encode("utf-8", "surrogatepass")
    return hashlib.sha256(text).hexdigest()[:12]


def notice_untold_images(prompt: Any, diagnostics: Diagnostics, place: str) -> None:
    """Say that a prompt holds an image of which the log has no more than the place.

    Args:
        prompt: Text, or messages; a group is the rollouts with an equal one.
        diagnostics: Gets the notice.
        place: Where the record stands.
    """
    if _has_untold_image(prompt):
        diagnostics.notice(
            "the prompt holds an image that the log does not tell from others: tasks that differ "
            "only there are one group",
            place,
        )


def _has_untold_image(value: Any) -> bool:
    if isinstance(value, str):
        return _PLACEHOLDER.search(value) is not None
    if isinstance(value, list):
        return any(map(_has_untold_image, value))
    if not isinstance(value, dict):
        return False
    if value.get("type") in _PICTURES:
        return not any(value[key] is not None for key in value.keys() - _UNTOLD)
    return _has_untold_image(value.get("content")) or _has_untold_image(value.get("text"))


def kept_fields(record: Mapping[str, Any], used: Collection[str]) -> dict[str, Any]:
    """The scalar values of a record that no column takes, under names that no column has.

    A key that is called like a column of the step log is kept as `record_<key>`.
    """
    return {
        f"record_{key}" if known(key) or key in _ALIASES else key: value
        for key, value in record.items()
        if key not in used and not key.startswith("__") and not isinstance(value, list | dict)
    }


def step_of_name(path: Path, pattern: str) -> int | None:
    """The training step that a trainer writes into the name of its file, where the records lack it.

    Args:
        path: The file.
        pattern: Regular expression over its whole path with one group of digits.
    """
    match = re.search(pattern, path.as_posix())
    return int(match.group(1)) if match else None


def of_step(train_step: int | None, name: str) -> str:
    """A group's id: what trained at one step is never joined with what trained at another."""
    return name if train_step is None else f"step{train_step}/{name}"


def is_cut(reason: str | None) -> bool | None:
    """True if a limit cut the rollout; None where the reason is not known."""
    return is_limit(reason)


def whole(value: Any) -> int | None:
    """A JSON whole number of at most 31 bits, null as None.

    Raises:
        ValueError: It is something else.
    """
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("is not a whole number")
    if not -_LARGE <= value < _LARGE:
        raise ValueError(f"is {value}, which no count or step of a run is")
    return value
