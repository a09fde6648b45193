"""AReaL rollout dumps: `rollout/<version>/<task>.jsonl`, one rollout per line, as decoded text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys
from workbench.readers.decoded import PARSED, decoded_turns
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import parts_of_records, whole
from workbench.readers.rows import StepRows, checked_values, identity, number, text
from workbench.readers.systems import folder_above

_KEYS = frozenset({"task_id", "sample_idx", "prompt", "completion", "head_version"})
_CELLS = Cells(texts=frozenset({"prompt", "completion"}))
_CONVERTERS = {
    "task_id": identity,
    "sample_idx": whole,
    "prompt": text,
    "completion": text,
    "reward": number,
    "head_version": whole,
    "tail_version": whole,
    "seqlen": whole,
    "prompt_len": whole,
}
_OPTIONAL = frozenset({"reward", "head_version", "tail_version", "seqlen", "prompt_len"})


@reader("areal", description="AReaL rollout dump, one rollout per line", run=folder_above)
class Areal:
    """Steps are the assistant's turns in the decoded text; the reward is the outcome.

    AReaL counts sampled tokens from the end to find where the completion begins. In a conversation
    of several turns that cut falls too late, so its first turns stand in the prompt and are read
    as history.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A prompt and a completion with the versions of the policy."""
        return first_keys(path, head) >= _KEYS

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rollouts; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "AReaL dumps")
        text = "turns are told apart by the role marks in decoded text"
        return parts_of_records(path, _add, cells=_CELLS, notice=text)


def _add(rows: StepRows, record: Record, line: int, diagnostics: Diagnostics, place: str) -> None:
    values = checked_values(record, _CONVERTERS, diagnostics, place, optional=_OPTIONAL)
    if values is None:
        return
    version, lengths = values["tail_version"], (values["seqlen"], values["prompt_len"])
    group = f"task-{values['task_id']}"
    group = group if version is None else f"version{version}/{group}"
    rows.add(
        decoded_turns(values["prompt"], values["completion"]),
        line=line,
        outcome=values["reward"],
        fields={
            "group_id": group,
            "trajectory_id": f"{group}/{values['sample_idx']}",
            "policy_version": version,
            "policy_version_start": values["head_version"],
            "tokens": None if None in lengths else lengths[0] - lengths[1],
            "reconstructed": PARSED,
        },
    )
