"""Texts as tokens, with a tokenizer that the user names; and logged tokens held against one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from workbench.errors import EmptyBatchError, ParameterError
from workbench.exporters.chat_template import (
    Messages,
    TemplateRefusalError,
    Tokenizer,
    arguments_of,
)
from workbench.exporters.conversations import ConversationRow, conversation_rows
from workbench.exporters.selection import places
from workbench.wording import number_of

_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Tokenised:
    """Steps with token ids, and how they came by them.

    Args:
        steps: With prompt_ids, response_ids, response_mask and tokenizer.
        record: What the manifest says of it: where the ids are from, the tokenizer's identity,
            and `drifting_steps`, whose reply comes back differently from how it went in.
        left_out: The steps of trajectories that the template cannot render, where that is allowed.
    """

    steps: pl.DataFrame
    record: Mapping[str, Any]
    left_out: pl.DataFrame


def tokenise(steps: pl.DataFrame, tokenizer: Tokenizer, *, template_loss: str) -> Tokenised:
    """Give steps without token ids those that a policy with this tokenizer would have seen.

    The prompt of a step is its conversation in the tokenizer's chat template, with roles, calls and
    tools, up to where the reply begins. The reply is what the template marks as the assistant's
    (`{% generation %}`), or else what the rendering with the reply has more than the one without;
    it ends with the token that ends a turn. Where the reply itself was cut, see `cut_replies`,
    that end was not sampled and is not there. What the template adds by itself is context.

    Args:
        steps: Kept steps in canonical order, with advantage, episode_reward and weight.
        tokenizer: Whose ids they get.
        template_loss: "refuse" what the template does not show, or "allow" it, counted, and leave
            out the trajectories that it cannot render.

    Raises:
        ParameterError: The template does not show what a conversation holds, or its rendering of a
            prompt is not the beginning of the rendering with the reply; steps are named.
    """
    rows = conversation_rows(steps, by_step=True)
    cut = cut_replies(steps, rows)
    lost: dict[str, list[int]] = {}
    refused: dict[str, list[int]] = {}
    unstable: list[int] = []
    prompts: list[pl.Series] = []
    replies: list[list[int]] = []
    drifts: list[bool] = []
    # Some at a time: as Python's numbers the prompts of a long log take many times the memory.
    for begin in range(0, len(rows), _AT_ONCE):
        before: list[list[int]] = []
        for at, given in enumerate(rows[begin : begin + _AT_ONCE], begin):
            row = replace(given, messages=tokenizer.fitted(given.messages))
            tools = None if row.tools is None else json.loads(row.tools)
            found = None
            try:
                whole = tokenizer.rendered(row.messages, tools)
                for what in _not_shown(tokenizer, row, tools, whole):
                    lost.setdefault(what, []).append(at)
                found = _prompt_and_reply(tokenizer, row.messages, tools, whole, was_cut=cut[at])
                if found is None:
                    unstable.append(at)
            except TemplateRefusalError as refusal:
                refused.setdefault(str(refusal), []).append(at)
            prompt, reply, drift = found or ([], [], False)
            before.append(prompt)
            replies.append(reply)
            drifts.append(drift)
        prompts.append(pl.Series(before, dtype=pl.List(pl.Int32)))
    if refused and template_loss == "refuse":
        raise ParameterError(_refusal(steps, tokenizer, refused))
    if unstable:
        raise ParameterError(
            f"the chat template of {tokenizer.name!r} renders a prompt differently once its reply "
            f"follows, so the tokens of {number_of(len(unstable), 'reply')} cannot be "
            f"told: {places(steps[unstable])}. Hint: take a tokenizer whose template has "
            "generation marks, or export without --tokenizer"
        )
    if lost and template_loss == "refuse":
        listed = "".join(
            f"\n- {what} ({number_of(len(where), 'time')}: {places(steps[where])})"
            for what, where in lost.items()
        )
        raise ParameterError(
            f"the chat template of {tokenizer.name!r} does not show all that the conversations "
            f"hold:{listed}\nHint: name a tokenizer whose template shows it, or "
            '--template-loss allow (template_loss="allow" in Python) to train without it'
        )
    bad = [at for where in refused.values() for at in where]
    kept = ~steps["trajectory_id"].is_in(steps["trajectory_id"].gather(bad).unique().implode())
    if not kept.any():
        raise EmptyBatchError(_refusal(steps, tokenizer, refused))
    with_ids = steps.drop("response_mask", "response_logprobs", strict=False).with_columns(
        pl.concat(prompts).alias("prompt_ids"),
        pl.Series("response_ids", replies, dtype=pl.List(pl.Int32)),
        pl.lit(tokenizer.name).alias("tokenizer"),
    )
    is_kept = kept.to_list()
    record = {
        "from": "text",
        **tokenizer.identity,
        "drifting_steps": sum(drift for drift, here in zip(drifts, is_kept, strict=True) if here),
        "cut_replies": sum(each for each, here in zip(cut, is_kept, strict=True) if here),
        "replies_found_by": "generation marks" if tokenizer.marks_replies else "renderings",
        "template_opening": tokenizer.opening,
        "not_shown": {
            what: count
            for what, where in lost.items()
            if (count := sum(is_kept[at] for at in where))
        },
        "rebuilt_steps": sum(not row.kept for row, here in zip(rows, is_kept, strict=True) if here),
    }
    return Tokenised(steps=with_ids.filter(kept), record=record, left_out=steps.filter(~kept))


def _refusal(
    steps: pl.DataFrame, tokenizer: Tokenizer, refused: Mapping[str, Sequence[int]]
) -> str:
    """Conversations that a template refuses, a line for each reason."""
    lines = "".join(
        f"\n- {what} ({number_of(len(where), 'time')}: {places(steps[list(where)])})"
        for what, where in refused.items()
    )
    return (
        f"the chat template of {tokenizer.name!r} refuses conversations:{lines}\nHint: name a "
        "tokenizer whose template takes them, or --template-loss allow "
        '(template_loss="allow" in Python) to leave these trajectories out, counted'
    )


def cut_replies(steps: pl.DataFrame, rows: Sequence[ConversationRow]) -> list[bool]:
    """Replies that were cut before their end, so that the policy did not end its turn.

    Those whose finish_reason is "length" and that nothing follows: the last of a trajectory, or
    one whose own reason it is, since another step of the trajectory has another. A reply that
    ends in calls whose arguments are whole was not cut: the limit came after it, and stands at the
    last reply that there was.

    Args:
        steps: In canonical order.
        rows: The conversation up to each of them. (S,)

    Returns:
        A truth value per step. (S,)
    """
    if "finish_reason" not in steps.columns:
        return [False] * steps.height
    reason, one = pl.col("finish_reason"), "trajectory_id"
    is_last = pl.col("step_index") == pl.col("step_index").max().over(one)
    own = reason.n_unique().over(one) > 1
    cut = steps.select(((reason == "length") & (is_last | own)).fill_null(value=False))
    return [
        said and not _ends_in_calls(row.messages[-1])
        for said, row in zip(cut.to_series().to_list(), rows, strict=True)
    ]


def _ends_in_calls(reply: Mapping[str, Any]) -> bool:
    calls = reply.get("tool_calls") or ()
    return bool(calls) and all(isinstance(arguments_of(call), dict) for call in calls)


def _prompt_and_reply(
    tokenizer: Tokenizer, messages: Messages, tools: Any, whole: str, *, was_cut: bool
) -> tuple[list[int], list[int], bool] | None:
    """Token ids of a prompt and of its reply, and whether the reply comes back otherwise.

    None where the two cannot be told apart.
    """
    if tokenizer.marks_replies:
        ids, marks = tokenizer.marked(messages, tools)
        start, end = _last_run(marks)
        reply_ids = ids[start : end - 1 if was_cut else end]
        return ids[:start], reply_ids, tokenizer.ids(tokenizer.texts([reply_ids]))[0] != reply_ids
    prompt = tokenizer.rendered(messages[:-1], tools, more=True)
    if not whole.startswith(prompt):
        return None
    reply = whole.removeprefix(prompt)
    ending = tokenizer.end_of_turn
    said, found, _ = reply.rpartition(ending) if ending else (reply, "", "")
    written = reply if not found else said if was_cut else said + found
    ids, reply_ids = tokenizer.ids([prompt, written])
    return ids, reply_ids, tokenizer.texts([reply_ids])[0] != written


def _last_run(marks: Sequence[int]) -> tuple[int, int]:
    """Bounds of the last run of ones."""
    end = len(marks)
    while end and not marks[end - 1]:
        end -= 1
    start = end
    while start and marks[start - 1]:
        start -= 1
    return start, end


def _not_shown(
    tokenizer: Tokenizer, row: ConversationRow, tools: Any, rendered: str
) -> Iterator[str]:
    """New parts of a step that a rendering lacks: messages, calls, thoughts, tools.

    What an earlier step showed already is looked for there. A name may stand in another message
    too, so calls, thoughts and tools count as shown only where the rendering without them differs.
    """
    messages, is_first = list(row.messages), row.first == row.last
    last = len(messages) - 1
    earlier = [at for at in range(last) if messages[at]["role"] == "assistant"]

    def is_lost(at: int, key: str) -> bool:
        bare = {name: value for name, value in messages[at].items() if name != key}
        return tokenizer.rendered([*messages[:at], bare, *messages[at + 1 :]], tools) == rendered

    for at in range(0 if is_first or not earlier else earlier[-1] + 1, len(messages)):
        message = messages[at]
        for text in _texts_of(message.get("content")):
            if text.strip() not in rendered:
                yield f"content of a message of the role {message['role']}"
        calls = message.get("tool_calls") or ()
        lost = bool(calls) and is_lost(at, "tool_calls")
        for call in calls:
            name = call["function"]["name"]
            if lost or name not in rendered:
                yield f"the call of {name!r}"
            elif not all(_is_shown(value, rendered) for value in _leaves(arguments_of(call))):
                yield f"arguments of a call of {name!r}"
    thought = messages[last].get("reasoning_content")
    if isinstance(thought, str) and (
        thought.strip() not in rendered or is_lost(last, "reasoning_content")
    ):
        yield "reasoning of a reply"
    offered = _names_of(tools) if is_first else []
    unseen = bool(offered) and tokenizer.rendered(messages) == rendered
    for name in offered:
        if unseen or name not in rendered:
            yield f"the tool {name!r}"


def _texts_of(content: Any) -> list[str]:
    if isinstance(content, str):
        return [content]
    parts = content if isinstance(content, list) else []
    return [
        part if isinstance(part, str) else str(part.get("text") or "")
        for part in parts
        if isinstance(part, str | dict)
    ]


def _leaves(value: Any) -> Iterator[Any]:
    """Keys and plain values of arguments."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from _leaves(item)
    elif value is not None:
        yield value


def _is_shown(value: Any, rendered: str) -> bool:
    """True if a value of arguments stands in a text, as it is or as JSON writes it."""
    plain = value if isinstance(value, str) else json.dumps(value)
    written = (plain, json.dumps(plain)[1:-1], json.dumps(plain, ensure_ascii=False)[1:-1])
    return any(text in rendered for text in written)


def _names_of(tools: Any) -> list[str]:
    found = []
    for tool in tools if isinstance(tools, list) else ():
        inner = tool.get("function", tool) if isinstance(tool, dict) else {}
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(name, str):
            found.append(name)
    return found


def hold_against(steps: pl.DataFrame, tokenizer: Tokenizer) -> Tokenised:
    """Checks that logged token ids can be of a tokenizer, and leaves them as they are.

    `drifting_steps` counts those whose decoded reply encodes to other ids: text that goes through
    a trainer's own tokenisation would not be trained on what was sampled.

    Raises:
        ParameterError: The log names another tokenizer, or an id is not in the vocabulary.
    """
    if "tokenizer" in steps.columns:
        other = steps.filter(pl.col("tokenizer") != tokenizer.name)
        if not other.is_empty():
            raise ParameterError(
                f"the log's token ids are of {other['tokenizer'][0]!r}, not of "
                f"{tokenizer.name!r}: {places(other)}"
            )
    size = len(tokenizer.tokenizer)
    largest = pl.concat_list("prompt_ids", "response_ids").list.max()
    least = pl.concat_list("prompt_ids", "response_ids").list.min()
    foreign = steps.filter((largest >= size) | (least < 0))
    if not foreign.is_empty():
        raise ParameterError(
            f"ids of {number_of(foreign.height, 'step')} are not among the {size} of the tokenizer "
            f"{tokenizer.name!r}: {places(foreign)}. Hint: name the tokenizer of the policy"
        )
    replies = steps["response_ids"].to_list()
    again = tokenizer.ids(tokenizer.texts(replies))
    drifting = sum(one != other for one, other in zip(replies, again, strict=True))
    record = {"from": "log", **tokenizer.identity, "drifting_steps": drifting}
    return Tokenised(steps=steps, record=record, left_out=steps.clear())
