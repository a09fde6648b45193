"""open-instruct: `<run>_rollouts_<shard>.jsonl`, one rollout per line, as tokens without text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.records import is_cut, of_step, parts_of_records, whole
from workbench.readers.rows import StepRows, checked_values, number, numbers, text, token_ids
from workbench.readers.tokens import StepTokens, same_lengths, token_columns, token_turns

_KEYS = frozenset({"prompt_tokens", "response_tokens", "prompt_idx", "sample_idx"})
_CELLS = Cells(
    objects=frozenset({"prompt_tokens", "response_tokens", "logprobs", "request_info"}),
)
_CONVERTERS = {
    "step": whole,
    "sample_idx": whole,
    "prompt_idx": whole,
    "prompt_tokens": token_ids,
    "response_tokens": token_ids,
    "reward": number,
    "advantage": number,
    "finish_reason": text,
    "logprobs": numbers,
}
_OPTIONAL = frozenset({"reward", "advantage", "finish_reason", "logprobs"})


def _run_of(path: Path) -> Path:
    """The run, of which a file is one shard."""
    return path.with_name(path.name.partition("_rollouts_")[0])


@reader(
    "open-instruct",
    description="open-instruct rollouts JSONL, tokens of one rollout per line",
    run=_run_of,
)
class OpenInstruct:
    """The whole response is one step; the token ids stand for the text, which is not logged.

    What a tool answered is part of the response, and no mask tells it apart, so `response_mask`
    is left out where a tool was called. The advantage is `logged_advantage`.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Tokens of prompt and response, with their numbers."""
        return first_keys(path, head) >= _KEYS

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """One step per rollout; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "open-instruct rollouts")
        text = "rollouts have no text: token ids stand for it, and each response is one step"
        return parts_of_records(path, _add, cells=_CELLS, notice=text)


def _add(rows: StepRows, record: Record, line: int, diagnostics: Diagnostics, place: str) -> None:
    values = checked_values(record, _CONVERTERS, diagnostics, place, optional=_OPTIONAL)
    if values is None:
        return
    response, advantage = values["response_tokens"], values["advantage"]
    try:
        same_lengths({"logprobs": values["logprobs"]}, len(response), "response tokens")
    except ValueError as error:
        diagnostics.problem("logprobs", str(error), place)
        return
    request = record.get("request_info")
    has_tools = isinstance(request, dict) and bool(request.get("tool_calleds"))
    if has_tools:
        diagnostics.notice("responses hold what tools answered, and no mask tells it apart", place)
    tokens = StepTokens(
        prompt=values["prompt_tokens"],
        response=response,
        mask=None if has_tools else [1] * len(response),
        logprobs=values["logprobs"],
    )
    step = values["step"]
    rows.add(
        token_turns([tokens]),
        line=line,
        outcome=values["reward"],
        fields={
            "group_id": of_step(step, f"prompt{values['prompt_idx']}"),
            "trajectory_id": of_step(step, f"sample{values['sample_idx']}"),
            "train_step": step,
            "truncated": is_cut(values["finish_reason"]),
            "finish_reason": values["finish_reason"],
            "dataset": record.get("dataset"),
        },
        step_fields=token_columns([tokens]) | {"logged_advantage": [advantage], "messages": [None]},
    )
