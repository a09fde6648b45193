"""verl rollout and validation dumps: one JSON object per rollout, the conversation as decoded text.

Written by `trainer.rollout_data_dir` and `trainer.validation_data_dir`. The legacy trainer permutes
the rows of a batch, so a group is the rollouts of one step with the same prompt and ground truth;
the v1 trainer writes a key `uid` of `<group>_<session>_<output>`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys, first_record, records_of
from workbench.readers.decoded import PARSED, decoded_turns
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, joined
from workbench.readers.records import digest, kept_fields, notice_untold_images, of_step, whole
from workbench.readers.rows import StepRows, checked_values, number, text
from workbench.readers.systems import folder_of

_KEYS = frozenset({"input", "output", "score", "step"})
CELLS = Cells(texts=frozenset({"input", "output", "gts", "uid"}))
"""Cells of a dump as a table, by whichever trainer."""

_USED = _KEYS | {"gts", "uid"}
_CONVERTERS = {"input": text, "output": text, "score": number, "step": whole, "uid": text}


@dataclass(frozen=True, kw_only=True)
class _Output:
    """One row: all that one call of an agent loop wrote."""

    line: int
    index: int
    turns: list[Turn]
    score: float | None
    fields: Mapping[str, Any]


@reader(
    "verl",
    description="verl rollout dump, legacy and v1 trainer, one rollout per line",
    run=folder_of,
)
class Verl:
    """Steps are the assistant's turns in the decoded text; the score is the outcome.

    With a `uid`, the outputs of a session are one trajectory; the score of the last one counts,
    since the trainer copies it onto the others. Without one, trajectories are numbered in their
    group. `acc`, where it is 0 or 1, is `success`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """`input`, `output`, `score` and `step`, and nothing of verl-agent."""
        is_one = first_keys(path, head) >= _KEYS
        return is_one and not is_of_verl_agent(first_record(path, head))

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all rollouts; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "verl dumps")
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        sessions: dict[str, list[_Output]] = {}
        named = False
        records = records_of(path, diagnostics, CELLS)
        for line, record in records:
            place = records.place(line)
            output = _output(record, line, diagnostics, place)
            if output is None:
                continue
            key = output.fields["trajectory_id"]
            named |= key is not None
            sessions.setdefault(key or f"#{line}", []).append(output)
        for outputs in sessions.values():
            ordered = sorted(outputs, key=lambda output: output.index)
            _add(rows, ordered, diagnostics, records.place)
        if sessions:
            diagnostics.notice("turns are told apart by the role lines in decoded text", str(path))
        return Part(
            frame=rows.frame(), diagnostics=diagnostics, numbered=bool(sessions) and not named
        )


def is_of_verl_agent(record: Record) -> bool:
    """True if a row is one step of verl-agent rather than one rollout of verl."""
    bare = "gts" not in record and "uid" not in record and "<action>" in str(record.get("output"))
    return "traj_uid" in record or bare


def _output(record: Record, line: int, diagnostics: Diagnostics, place: str) -> _Output | None:
    optional = ("score", "uid", "step")
    values = checked_values(record, _CONVERTERS, diagnostics, place, optional=optional)
    if values is None:
        return None
    group, session, index = _ids(values, record)
    if values["uid"] is None:
        notice_untold_images(values["input"], diagnostics, place)
    accuracy = record.get("acc")
    group = of_step(values["step"], group)
    return _Output(
        line=line,
        index=index,
        turns=decoded_turns(values["input"], values["output"]),
        score=values["score"],
        fields={
            "group_id": group,
            "trajectory_id": session and f"{group}/{session}",
            "train_step": values["step"],
            "success": bool(accuracy) if accuracy in (0, 1) else None,
            "reconstructed": PARSED,
        }
        | kept_fields(record, _USED),
    )


def _ids(values: Mapping[str, Any], record: Record) -> tuple[str, str | None, int]:
    """Group, session and number of the output."""
    uid = values["uid"]
    if uid is None:
        return digest(values["input"], record.get("gts")), None, 0
    parts = uid.rsplit("_", 2)
    if len(parts) == 3 and parts[1].isdecimal() and parts[2].isdecimal():
        return parts[0], parts[1], int(parts[2])
    return uid, "0", 0


def _add(
    rows: StepRows,
    outputs: list[_Output],
    diagnostics: Diagnostics,
    place: Callable[[int], str],
) -> None:
    places = [place(output.line) for output in outputs]
    numbers = [output.index for output in outputs]
    if numbers != list(range(len(outputs))):
        rule = f"the outputs of a session are {numbers}, expected one of each from 0 on"
        diagnostics.problem("uid", rule, ", ".join(places))
        diagnostics.lose(outputs[0].fields["group_id"])
        return
    last = outputs[-1]
    lines = [output.line for output in outputs for _ in output.turns]
    rows.add(
        joined([output.turns for output in outputs]),
        line=last.line,
        outcome=last.score,
        fields=last.fields,
        step_fields={"source_line": lines},
    )
