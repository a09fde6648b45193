"""The traces of verifiers and prime-rl again, `advantages` of the sampled nodes filled in.

Everything else of the files stays as it is, byte by byte. What a node has are the advantages of its
sampled tokens (those where `mask` is true), one each. Traces of the policy that are not in the
batch get zeros, because an advantage that was logged would be trained on; traces of agents that
are not trained are not touched.

The log must come from such files: a trajectory is a trace of the line that `source_file` and
`source_line` name, a step its sampled node of the same number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from workbench.errors import ArtefactError, MissingInputError, ParameterError
from workbench.exporters.assembly import Batch, Layout
from workbench.exporters.base import Exporter, register
from workbench.exporters.manifest import Manifest
from workbench.exporters.options import STEPS_ONLY
from workbench.exporters.selection import places
from workbench.exporters.sequences import IDS, KEY, MASK, REALS, trained_advantage
from workbench.exporters.splice import applied, decoded, elements, member, with_member
from workbench.exporters.tables import read_lines, write_lines
from workbench.wording import are

STEPS = "steps.jsonl"

_WHERE = {"file": pl.String(), "line": pl.Int64(), "node": pl.Int64(), **KEY}

StepKey = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class _Sampled:
    """A sampled node of a trace of the policy.

    Args:
        key: Its trace's id, and its number among the trace's sampled nodes.
        position: Its number among all nodes.
        start: Where it begins in the line.
        tokens: The sequence up to it, its own tokens included.
        mask: Which of those it sampled.
        advantages: What it has; None for nothing.
    """

    key: StepKey
    position: int
    start: int
    tokens: Sequence[int]
    mask: Sequence[bool]
    advantages: Sequence[float] | None


def write(batch: Batch, folder: Path) -> None:
    """Write the traces, a file for each that the log came from, and `steps.jsonl`.

    Raises:
        MissingInputError: The log does not say which files it is from, or one is gone.
        ParameterError: A file does not have a step of the log, or has other tokens there.
    """
    sources = _sources(batch.steps)
    credit = dict(zip(_keys(batch.rows), trained_advantage(batch.rows).to_list(), strict=True))
    wanted = dict(zip(_keys(batch.steps), range(batch.steps.height), strict=True))
    found: dict[StepKey, dict[str, Any]] = {}
    for number, source in enumerate(sources):
        name = "traces.jsonl" if len(sources) == 1 else f"traces_{number}.jsonl"
        lines = _text(source).split("\n")
        for line, text in enumerate(lines, start=1):
            changes = []
            for node in _episode(text, f"{source}:{line}"):
                value = credit.get(node.key, 0.0)
                count = sum(node.mask)
                changes.append(with_member(text, node.start, "advantages", _numbers(value, count)))
                if node.key in wanted:
                    _require_tokens(batch.steps[wanted[node.key]], node)
                    found[node.key] = {"file": name, "line": line, "node": node.position}
            lines[line - 1] = applied(text, changes)
        (folder / name).write_bytes("\n".join(lines).encode())
    lost = [row for key, row in wanted.items() if key not in found]
    if lost:
        raise ParameterError(
            f"{are(len(lost), 'step')} no sampled node of {[str(s) for s in sources]}: "
            f"{places(batch.steps[lost])}"
        )
    where = pl.DataFrame([found[key] for key in _keys(batch.rows)])
    own = batch.rows.select(*KEY)
    write_lines(pl.concat([where, own], how="horizontal").select(*_WHERE), folder / STEPS)


def read(folder: Path, manifest: Manifest) -> pl.DataFrame:
    """The sequences of the nodes that `steps.jsonl` names, with their advantages."""
    steps = read_lines(folder / STEPS, _WHERE)
    nodes: dict[tuple[str, int, str, int], _Sampled] = {}
    for name in steps["file"].unique():
        if name not in manifest.files:
            raise ArtefactError(f"{folder / STEPS} names {name!r}, which is no file of the export")
        line = 0
        try:
            for line, entry in enumerate((folder / name).read_bytes().decode().split("\n"), 1):
                for node in _sampled(entry):
                    nodes[name, line, node.key[0], node.position] = node
        except (OSError, ValueError) as error:
            raise ArtefactError(f"{folder / name}:{line} cannot be read: {error}") from error
    names = ("file", "line", "trajectory_id", "node")
    found = [nodes.get(place) for place in steps.select(names).iter_rows()]
    if None in found:
        raise ArtefactError(f"{folder / STEPS}: no such node, line {found.index(None) + 1}")
    chosen = [node for node in found if node is not None]
    return steps.select(*KEY).with_columns(
        pl.Series("input_ids", [node.tokens for node in chosen], dtype=IDS),
        pl.Series("loss_mask", [[int(m) for m in node.mask] for node in chosen], dtype=MASK),
        pl.Series("advantages", [_spread(node) for node in chosen], dtype=REALS),
    )


def require(steps: pl.DataFrame) -> None:
    """Refuse a log that is not of traces: of each of its files the first episode is read.

    Raises:
        MissingInputError: It does not say which files it is from, or one is gone.
        ParameterError: A file is not one of traces.
    """
    for source in _sources(steps):
        lines = enumerate(_text(source).split("\n"), start=1)
        line, text = next(((line, text) for line, text in lines if text.strip()), (1, "{}"))
        _episode(text, f"{source}:{line}")


def _text(path: Path) -> str:
    """A file as it is: no line end is translated.

    Raises:
        ParameterError: It is not text.
    """
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ParameterError(
            f"{path} is not text, so it is no traces.jsonl of verifiers or prime-rl, which this "
            "target writes again. Hint: export another target; traces that are compressed must "
            "be unpacked and imported again"
        ) from error


def _keys(steps: pl.DataFrame) -> list[StepKey]:
    return steps.select("trajectory_id", "step_index").rows()


def _sources(steps: pl.DataFrame) -> list[Path]:
    """The files of the log, in order of their names."""
    if "source_file" not in steps.columns or steps["source_file"].null_count():
        raise MissingInputError(
            "the log does not say which traces.jsonl it is from (column source_file). "
            "Hint: import the traces again, or export another target"
        )
    paths = [Path(name) for name in steps["source_file"].unique().sort()]
    gone = [str(path) for path in paths if not path.is_file()]
    if gone:
        raise MissingInputError(
            f"the traces that the log is from are not there: {gone[:3]}. "
            "Hint: export from the folder that they were imported from"
        )
    return paths


def _episode(text: str, place: str) -> list[_Sampled]:
    """Result of `_sampled` for a line that is to be written again.

    Raises:
        ParameterError: The line is no episode.
    """
    try:
        return list(_sampled(text))
    except ValueError as error:
        raise ParameterError(
            f"{place} is no episode of verifiers or prime-rl: {error}. Hint: this target writes "
            "the traces.jsonl again that a log came from; export another target"
        ) from error


def _sampled(text: str) -> Iterator[_Sampled]:
    """The sampled nodes of the policy's traces of a line.

    Raises:
        ValueError: The line is no episode.
    """
    if not text.strip():
        return
    start = len(text) - len(text.lstrip())
    try:
        traces = member(text, start, "traces") if text[start] == "{" else None
        if traces is None:
            raise ValueError("it has no traces")
        for trace in elements(text, traces):
            record = decoded(text, trace)
            nodes = member(text, trace, "nodes")
            if nodes is not None and record.get("agent", {}).get("trainable") is not False:
                yield from _of_trace(text, record, list(elements(text, nodes)))
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(str(error)) from error


def _of_trace(text: str, trace: Mapping[str, Any], starts: Sequence[int]) -> Iterator[_Sampled]:
    sequences: list[list[int]] = []
    number = 0
    for position, (node, start) in enumerate(zip(trace["nodes"], starts, strict=True)):
        parent, own = node.get("parent"), node.get("token_ids") or []
        sequences.append([*(sequences[parent] if parent is not None else []), *own])
        if not node.get("sampled"):
            continue
        mask = [bool(value) for value in node.get("mask") or []]
        before = len(sequences[-1]) - len(mask)
        yield _Sampled(
            key=(trace["id"], number),
            position=position,
            start=start,
            tokens=sequences[-1],
            mask=[False] * before + mask,
            advantages=node.get("advantages"),
        )
        number += 1


def _require_tokens(step: pl.DataFrame, node: _Sampled) -> None:
    row = step.row(0, named=True)
    if [*row["prompt_ids"], *row["response_ids"]] != list(node.tokens):
        raise ParameterError(
            f"the traces have other tokens than the log: {places(step)}. "
            "Hint: import the traces again"
        )


def _numbers(value: float, count: int) -> str:
    """One float32 so often, as JSON, with as many digits as bring it back."""
    return f"[{', '.join([str(np.float32(value))] * count)}]"


def _spread(node: _Sampled) -> list[float]:
    """The compact advantages of a node at the tokens that it sampled."""
    values = iter(node.advantages or [])
    return [next(values, 0.0) if sampled else 0.0 for sampled in node.mask]


register(
    Exporter(
        name="prime-rl",
        description="traces.jsonl of verifiers and prime-rl again, node.advantages filled in.",
        layout=Layout(
            format="workbench-prime-traces",
            trainer="prime-rl",
            turn_off="an algorithm that keeps node.advantages; no advantage normalisation",
            unit="step",
            tokenises=False,
            require=require,
        ),
        write=write,
        read=read,
        units=STEPS_ONLY,
    )
)
