"""Texts as tokens, with a tokenizer that the user names; and logged tokens held against one."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import MissingDependencyError, ParameterError
from workbench.exporters.conversations import ConversationRow, conversation_rows
from workbench.exporters.selection import places
from workbench.log.conversation import decoded
from workbench.states.embedders.model_files import hub_answers

Messages = Sequence[Mapping[str, Any]]

DIGESTS = ("vocabulary_sha256", "chat_template_sha256")
"""What of a tokenizer decides the ids of a text."""

_PROBE = "reply"
_AT_ONCE = 1024


@dataclass(frozen=True, kw_only=True)
class Tokenizer:
    """A Hugging Face tokenizer with what an export asks of it.

    Args:
        name: Id or folder, as the user gave it.
        tokenizer: What transformers loaded.
    """

    name: str
    tokenizer: Any

    @classmethod
    def load(cls, name: str) -> Tokenizer:
        """The tokenizer of a folder or of a Hugging Face id.

        The hub is asked only where it answers within seconds; otherwise the id must be in its
        cache. Code that comes with a tokenizer is never run.

        Raises:
            MissingDependencyError: transformers is not installed.
            ParameterError: It cannot be loaded.
        """
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise MissingDependencyError(
                "a tokenizer needs transformers. Hint: pip install transformers"
            ) from error
        folder = Path(name).expanduser()
        here = folder.is_dir()
        hub = not here and not _is_path(name) and hub_answers()
        try:
            loaded = AutoTokenizer.from_pretrained(
                str(folder) if here else name, local_files_only=not hub, trust_remote_code=False
            )
        # transformers 4 gives an AttributeError for a folder without the files.
        except (OSError, ValueError, KeyError, AttributeError) as error:
            if here and not (folder / "tokenizer.json").is_file():
                reason = "the folder has no tokenizer.json"
            elif here or hub:
                reason = str(error).splitlines()[0].rstrip(".")
            elif _is_path(name):
                reason = "there is no such folder"
            else:
                reason = "it is no folder and not in the hub's cache, and the hub does not answer"
            raise ParameterError(
                f"no tokenizer can be loaded from {name!r}: {reason}. Hint: name a folder with "
                "tokenizer.json, or the id of a chat model; `hf download ID` fetches one where "
                "there is a network, HF_HUB_OFFLINE=1 forbids it"
            ) from error
        return cls(name=name, tokenizer=loaded)

    @property
    def identity(self) -> dict[str, str | None]:
        """Its name, and digests of its vocabulary and chat template: what made the ids."""
        vocabulary = json.dumps(self.tokenizer.get_vocab(), sort_keys=True)
        template = self.tokenizer.chat_template
        if isinstance(template, dict):  # one for tool use, say, beside the default
            template = json.dumps(template, sort_keys=True)
        return {
            "tokenizer": self.name,
            "vocabulary_sha256": hashlib.sha256(vocabulary.encode()).hexdigest(),
            "chat_template_sha256": template and hashlib.sha256(template.encode()).hexdigest(),
        }

    @cached_property
    def end_of_turn(self) -> str:
        """The special token that its chat template puts behind a reply; empty where it has none."""
        exchange = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": _PROBE}]
        _, _, tail = self.rendered(exchange).rpartition(_PROBE)
        ids = self.ids([tail])[0] if tail else []
        if not ids or ids[0] not in self.tokenizer.all_special_ids:
            return ""
        return self.texts([ids[:1]])[0]

    @cached_property
    def opening(self) -> str:
        """The text that the template puts before a first user message, such as a system prompt."""
        before, _, _ = self.rendered([{"role": "user", "content": _PROBE}]).partition(_PROBE)
        return before

    @property
    def marks_replies(self) -> bool:
        """Whether the template marks what the assistant writes with `{% generation %}`."""
        return re.search(r"\{%-?\s*generation\b", str(self.tokenizer.chat_template)) is not None

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of texts as they are, nothing put before or behind them."""
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return found

    def texts(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """The texts of token ids, special tokens included."""
        return [
            self.tokenizer.decode(
                list(one), skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
            for one in ids
        ]

    def rendered(self, messages: Messages, tools: Any = None, *, more: bool = False) -> str:
        """A conversation in the chat template.

        Args:
            messages: The conversation.
            tools: Those that were offered.
            more: Whether the mark that lets the assistant speak follows.

        Raises:
            ParameterError: There is no chat template, or it refuses the conversation.
        """
        return str(self._applied(messages, tools, tokenize=False, add_generation_prompt=more))

    def marked(self, messages: Messages, tools: Any = None) -> tuple[list[int], list[int]]:
        """Token ids of a conversation, and 1 where the template marks what the assistant wrote."""
        found = self._applied(
            messages, tools, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        return list(found["input_ids"]), list(found["assistant_masks"])

    def _applied(self, messages: Messages, tools: Any, **how: Any) -> Any:
        if self.tokenizer.chat_template is None:
            raise ParameterError(
                f"the tokenizer {self.name!r} has no chat template, so nobody can say which tokens "
                "a policy would read. Hint: name the tokenizer of a chat model"
            )
        try:
            return self.tokenizer.apply_chat_template(
                [_for_template(message) for message in messages], tools=tools or None, **how
            )
        except Exception as error:  # a template raises what it likes
            roles = [message["role"] for message in messages][:6]
            raise ParameterError(
                f"the chat template of {self.name!r} refuses a conversation of {roles}: {error}"
            ) from error


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates take it: arguments as objects, and content that is always there."""
    given = {"content": "", **message}
    if "tool_calls" in given:
        given["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _arguments(call)}}
            for call in given["tool_calls"]
        ]
    return given


def _arguments(call: Mapping[str, Any]) -> Any:
    """Arguments as an object where they parse as one, else as the text that they are."""
    text = call["function"].get("arguments")
    found = decoded(text)
    return found if isinstance(found, dict) else {} if found is None else text


def _is_path(name: str) -> bool:
    """Whether a name can only be a folder's: an id is a name or owner/name."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1


@dataclass(frozen=True, kw_only=True)
class Tokenised:
    """Steps with token ids, and how they came by them.

    Args:
        steps: With prompt_ids, response_ids, response_mask and tokenizer.
        record: What the manifest says of it: where the ids are from, the tokenizer's identity,
            and `drifting_steps`, whose reply comes back otherwise than it went in.
    """

    steps: pl.DataFrame
    record: Mapping[str, Any]


def tokenise(steps: pl.DataFrame, tokenizer: Tokenizer, *, template_loss: str) -> Tokenised:
    """Gives steps without token ids those that a policy with this tokenizer would have seen.

    The prompt of a step is its conversation in the tokenizer's chat template, with roles, calls and
    tools, up to where the reply begins. The reply is what the template marks as the assistant's
    (`{% generation %}`), or else what the rendering with the reply has more than the one without;
    it ends with the token that ends a turn. Where a generation was cut (finish_reason "length")
    that end was not sampled and is not there. What the template adds by itself is context.

    Args:
        steps: Kept steps in canonical order, with advantage, episode_reward and weight.
        tokenizer: Whose ids they get.
        template_loss: "refuse" what the template does not show, or "allow" it, counted.

    Raises:
        ParameterError: The template does not show what a conversation holds, or its rendering of a
            prompt is not the beginning of the rendering with the reply; steps are named.
    """
    cut = (
        (steps["finish_reason"] == "length").fill_null(value=False).to_list()
        if "finish_reason" in steps.columns
        else [False] * steps.height
    )
    lost: dict[str, list[int]] = {}
    unstable: list[int] = []
    prompts: list[pl.Series] = []
    replies: list[list[int]] = []
    drifting = 0
    rows = conversation_rows(steps, by_step=True)
    # Some at a time: as Python's numbers the prompts of a long log take many times the memory.
    for begin in range(0, len(rows), _AT_ONCE):
        before: list[list[int]] = []
        for at, row in enumerate(rows[begin : begin + _AT_ONCE], begin):
            tools = None if row.tools is None else json.loads(row.tools)
            whole = tokenizer.rendered(row.messages, tools)
            for what in _not_shown(tokenizer, row, tools, whole):
                lost.setdefault(what, []).append(at)
            found = _prompt_and_reply(tokenizer, row.messages, tools, whole, was_cut=cut[at])
            if found is None:
                unstable.append(at)
                continue
            before.append(found[0])
            replies.append(found[1])
            drifting += found[2]
        prompts.append(pl.Series(before, dtype=pl.List(pl.Int32)))
    if unstable:
        raise ParameterError(
            f"the chat template of {tokenizer.name!r} renders a prompt otherwise once its reply "
            f"stands behind it, so the tokens of {len(unstable)} replies cannot be told: "
            f"{places(steps[unstable])}. Hint: take a tokenizer whose template has generation "
            "marks, or export without --tokenizer"
        )
    if lost and template_loss == "refuse":
        listed = "; ".join(
            f"{what} ({len(where)} times: {places(steps[where])})" for what, where in lost.items()
        )
        raise ParameterError(
            f"the chat template of {tokenizer.name!r} does not show all that the conversations "
            f"hold: {listed}. Hint: name a tokenizer whose template shows it, or "
            '--template-loss allow (template_loss="allow" in Python) to train without it'
        )
    with_ids = steps.drop("response_mask", "response_logprobs", strict=False).with_columns(
        pl.concat(prompts).alias("prompt_ids"),
        pl.Series("response_ids", replies, dtype=pl.List(pl.Int32)),
        pl.lit(tokenizer.name).alias("tokenizer"),
    )
    record = {
        "from": "text",
        **tokenizer.identity,
        "drifting_steps": drifting,
        "replies_found_by": "generation marks" if tokenizer.marks_replies else "renderings",
        "template_opening": tokenizer.opening,
        "not_shown": {what: len(where) for what, where in lost.items()},
        "rebuilt_steps": sum(not row.kept for row in rows),
    }
    return Tokenised(steps=with_ids, record=record)


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
    """Where the last run of ones begins and ends."""
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
    """What a rendering lacks of what is new at a step: messages, calls, thoughts, tools.

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
            elif not all(_is_shown(value, rendered) for value in _leaves(_arguments(call))):
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
    """Whether a value of arguments stands in a text, as it is or as JSON writes it."""
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
            f"token ids of {foreign.height} steps are not among the {size} of the tokenizer "
            f"{tokenizer.name!r}: {places(foreign)}. Hint: name the tokenizer of the policy"
        )
    replies = steps["response_ids"].to_list()
    again = tokenizer.ids(tokenizer.texts(replies))
    drifting = sum(one != other for one, other in zip(replies, again, strict=True))
    record = {"from": "log", **tokenizer.identity, "drifting_steps": drifting}
    return Tokenised(steps=steps, record=record)
