"""Texts as tokens, with a tokenizer that the user names; and logged tokens held against one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from workbench.errors import MissingDependencyError, ParameterError
from workbench.exporters.conversations import text_rows
from workbench.exporters.selection import places
from workbench.states.embedders.model_files import hub_answers

Messages = Sequence[Mapping[str, str]]

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
        except (OSError, ValueError, KeyError) as error:
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
    def end_of_turn(self) -> Sequence[int]:
        """The special token that its chat template puts behind a reply, as a list of 0 or 1."""
        exchange = [{"role": "user", "content": "ask"}, {"role": "assistant", "content": _PROBE}]
        _, _, tail = self._rendered(exchange, more=False).rpartition(_PROBE)
        ids = self.ids([tail])[0] if tail else []
        return ids[:1] if ids and ids[0] in self.tokenizer.all_special_ids else []

    def prompt_ids(self, conversations: pl.Series) -> pl.Series:
        """What the policy reads before the last message of each conversation, its reply.

        Some conversations at a time: as Python's numbers the prompts of a long log take many times
        the memory that they take as int32.

        Args:
            conversations: (S,) lists of role and content.

        Returns:
            (S,) lists of int32.
        """
        pieces = []
        for part in conversations.to_frame().iter_slices(_AT_ONCE):
            prompts = [messages[:-1] for messages in part.to_series().to_list()]
            texts = [self._rendered(messages, more=True) for messages in prompts]
            pieces.append(pl.Series(self.ids(texts), dtype=pl.List(pl.Int32)))
        return pl.concat(pieces)

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

    def _rendered(self, messages: Messages, *, more: bool) -> str:
        if self.tokenizer.chat_template is None:
            raise ParameterError(
                f"the tokenizer {self.name!r} has no chat template, so nobody can say which tokens "
                "a policy would read. Hint: name the tokenizer of a chat model"
            )
        try:
            text: str = self.tokenizer.apply_chat_template(
                [dict(message) for message in messages], tokenize=False, add_generation_prompt=more
            )
        except Exception as error:  # a template raises what it likes
            roles = [message["role"] for message in messages][:6]
            raise ParameterError(
                f"the chat template of {self.name!r} refuses a conversation of {roles}: {error}"
            ) from error
        return text


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


def tokenise(steps: pl.DataFrame, tokenizer: Tokenizer) -> Tokenised:
    """Gives steps without token ids those that a policy with this tokenizer would have seen.

    The prompt of a step is its conversation in the tokenizer's chat template, up to where the
    reply begins. The reply is the action and the token that ends a turn; it is what the policy
    sampled, all of it and nothing else. Where a generation was cut (finish_reason "length") the
    end was not sampled and is not there.

    Args:
        steps: Kept steps in canonical order, with advantage, episode_reward and weight.
        tokenizer: Whose ids they get.
    """
    prompts = tokenizer.prompt_ids(text_rows(steps, unit="step").rows["messages"])
    actions = steps["action"].to_list()
    replies = tokenizer.ids(actions)
    drifting = sum(
        back != action for back, action in zip(tokenizer.texts(replies), actions, strict=True)
    )
    cut = (
        (steps["finish_reason"] == "length").fill_null(value=False).to_list()
        if "finish_reason" in steps.columns
        else [False] * steps.height
    )
    ended = [
        reply if was_cut else [*reply, *tokenizer.end_of_turn]
        for reply, was_cut in zip(replies, cut, strict=True)
    ]
    ids = pl.List(pl.Int32)
    with_ids = steps.drop("response_mask", "response_logprobs", strict=False).with_columns(
        prompts.alias("prompt_ids"),
        pl.Series("response_ids", ended, dtype=ids),
        pl.lit(tokenizer.name).alias("tokenizer"),
    )
    record = {"from": "text", **tokenizer.identity, "drifting_steps": drifting}
    return Tokenised(steps=with_ids, record=record)


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
