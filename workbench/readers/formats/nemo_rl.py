"""NeMo-RL: `train_data_step<N>.jsonl`, one rollout per line with tokens, masks and advantages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics, Part, reader
from workbench.readers.containers import Cells, first_keys
from workbench.readers.decoded import PARSED, decoded_turns, numbered_turns, prompt_and_rest
from workbench.readers.jsonfiles import Record
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn
from workbench.readers.records import (
    digest,
    notice_untold_images,
    of_step,
    parts_of_records,
    step_of_name,
    whole,
)
from workbench.readers.rows import StepRows, checked_values, number, numbers, token_ids
from workbench.readers.systems import folder_of
from workbench.readers.tokens import (
    StepTokens,
    mask,
    runs,
    same_lengths,
    token_columns,
    token_turns,
)

_KEYS = frozenset({"content", "rewards", "token_ids", "token_loss_mask"})


def _one(convert: Any) -> Any:
    """A converter that takes the value of a list of one, as NeMo-RL writes some scalars."""
    return lambda value: convert(value[0] if isinstance(value, list) and len(value) == 1 else value)


_CONVERTERS = {
    "rewards": _one(number),
    "input_lengths": _one(whole),
    "sample_loss_mask": _one(number),
    "idx": _one(whole),
    "token_ids": token_ids,
    "token_loss_mask": mask,
    "advantages": numbers,
    "generation_logprobs": numbers,
}
_CELLS = Cells(objects=frozenset(_CONVERTERS) | {"content"})
_REQUIRED = frozenset({"token_ids", "token_loss_mask"})
_A_TOKEN = ("token_loss_mask", "advantages", "generation_logprobs")


@reader(
    "nemo-rl",
    description="NeMo-RL train_data JSONL with tokens, one rollout per line",
    run=folder_of,
)
class NemoRl:
    """Steps are the stretches of tokens that the loss counts; the reward is the outcome.

    A group is the rollouts of one file with the same prompt tokens. The text of the steps is that
    of the messages; where their number does not fit the stretches, the token ids stand for it. The
    training step is in the name of the file only.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """Rewards with tokens and their loss mask."""
        return first_keys(path, head) >= _KEYS

    def read(self, path: Path, columns: Mapping[str, str]) -> Iterator[Part]:
        """The steps of all rollouts; the format has fixed names, so `columns` must be empty."""
        refuse_mapping(columns, "NeMo-RL train data")
        step = step_of_name(path, r"step_?(\d+)[^/]*$")
        text = "the name of the file has no training step" if step is None else ""
        return parts_of_records(path, partial(_add, step=step), cells=_CELLS, notice=text)


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
    ids, sampled = values["token_ids"], values["token_loss_mask"]
    try:
        same_lengths(
            {name: values[name] for name in _A_TOKEN},
            len(ids),
            "tokens",
        )
    except ValueError as error:
        diagnostics.problem("token_ids", str(error), place)
        return
    length = len(ids) if values["input_lengths"] is None else values["input_lengths"]
    stretches = runs(sampled[:length])
    if not stretches:
        diagnostics.drop("token_loss_mask", "counts no token, so there is no step", place)
        return
    tokens = [_tokens(values, stretch) for stretch in stretches]
    columns = token_columns(tokens)
    said = _turns(record.get("content"), stretches, ended=bool(sampled[length - 1]))
    if said is None:
        diagnostics.notice("messages and loss mask do not fit: token ids stand for the text", place)
        said = token_turns(tokens)
    content = record.get("content")
    asked = prompt_and_rest(content)[0] if isinstance(content, str) else content
    notice_untold_images(asked, diagnostics, place)
    group = of_step(step, digest(ids[: stretches[0][0]]))
    number_of_row = line - 1 if values["idx"] is None else values["idx"]
    weight = values["sample_loss_mask"]
    rows.add(
        said,
        line=line,
        outcome=values["rewards"],
        fields={
            "group_id": group,
            "trajectory_id": f"{group}/{number_of_row}",
            "train_step": step,
            "mask_reason": "sample_loss_mask" if weight == 0 else None,
            "reconstructed": PARSED if isinstance(record.get("content"), str) else None,
        },
        step_fields=columns,
    )


def _tokens(values: Mapping[str, Any], stretch: tuple[int, int]) -> StepTokens:
    start, end = stretch
    logprobs, advantages = values["generation_logprobs"], values["advantages"]
    return StepTokens(
        prompt=values["token_ids"][:start],
        response=values["token_ids"][start:end],
        mask=[1] * (end - start),
        logprobs=logprobs and logprobs[start:end],
        advantages=advantages and advantages[start:end],
    )


def _turns(content: Any, stretches: Sequence[tuple[int, int]], *, ended: bool) -> list[Turn] | None:
    """The steps as text, if there are as many as stretches of sampled tokens.

    Args:
        content: The whole conversation as text, or the text of each of its messages.
        stretches: Where the policy wrote.
        ended: Whether the last token is the policy's.
    """
    if isinstance(content, str):
        said = decoded_turns(*prompt_and_rest(content))
        return said if len(said) == len(stretches) else None
    if not isinstance(content, list) or not all(isinstance(text, str) for text in content):
        return None
    # The roles are not logged, but assistant and environment take turns up to the end.
    first = len(content) - 2 * len(stretches) + ended
    if first < 1:
        return None
    return numbered_turns(content, range(first, len(content), 2))
