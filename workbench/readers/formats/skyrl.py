"""SkyRL evaluation dumps: `<data_source>.jsonl`, one rollout per line, as decoded text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys
from workbench.readers.decoded import PARSED, decoded_turns
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import (
    digest,
    is_cut,
    notice_untold_images,
    of_step,
    parts_of_records,
    step_of_name,
)
from workbench.readers.rows import StepRows, checked_values, number, numbers, text

_KEYS = frozenset({"input_prompt", "output_response", "score"})
_CELLS = Cells(
    objects=frozenset({"score", "env_extras"}), texts=frozenset({"input_prompt", "output_response"})
)


def _score(value: Any) -> float | None:
    """A score, or the sum of one per token.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, list):
        return number(value)
    each = numbers(value)
    return sum(each) if each else None


_CONVERTERS = {
    "input_prompt": text,
    "output_response": text,
    "score": _score,
    "stop_reason": text,
    "env_class": text,
    "data_source": text,
}
_REQUIRED = frozenset({"input_prompt", "output_response"})


def _run_of(path: Path) -> Path:
    """The run: dumps lie in a folder of their step."""
    steps = (folder for folder in path.parents if folder.name.startswith("global_step_"))
    return next(steps, path).parent


@reader("skyrl", description="SkyRL evaluation dump, one rollout per line", run=_run_of)
class SkyRl:
    """Steps are the assistant's turns in the decoded text; the score is the outcome.

    A score per token is summed, since the dump has no tokens to lay it over. A group is the
    rollouts with the same prompt, data source and environment extras; the step is that of the
    folder `global_step_<N>_evals`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """A prompt, a response and a score, under SkyRL's names."""
        return first_keys(path, head) >= _KEYS

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rollouts; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "SkyRL dumps")
        add = partial(_add, step=step_of_name(path, r"global_step_(\d+)"))
        text = "turns are told apart by the role marks in decoded text"
        return parts_of_records(path, add, cells=_CELLS, numbered=True, notice=text)


def _add(
    rows: StepRows,
    record: Record,
    line: int,
    diagnostics: Diagnostics,
    place: str,
    *,
    step: int | None,
) -> None:
    optional = _CONVERTERS.keys() - _REQUIRED
    values = checked_values(record, _CONVERTERS, diagnostics, place, optional=optional)
    if values is None:
        return
    if isinstance(record.get("score"), list):
        diagnostics.notice("scores of tokens are summed to one of the rollout", place)
    source, reason = values["data_source"], values["stop_reason"]
    if not record.get("env_extras"):
        notice_untold_images(values["input_prompt"], diagnostics, place)
    task = digest(source, values["input_prompt"], record.get("env_extras"))
    rows.add(
        decoded_turns(values["input_prompt"], values["output_response"]),
        line=line,
        outcome=values["score"],
        fields={
            "group_id": of_step(step, f"{source}/{task}" if source else task),
            "trajectory_id": None,
            "train_step": step,
            "env": values["env_class"],
            "reconstructed": PARSED,
        },
        last_fields={"finish_reason": reason, "truncated": is_cut(reason)},
    )
