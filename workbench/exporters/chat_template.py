"""Tokenizer of a policy: token ids of texts, and conversations in its chat template."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from workbench.errors import MissingDependencyError, ParameterError
from workbench.log.conversation import Message, content_text, decoded, is_text, unread_parts
from workbench.states.embedders.model_files import hub_answers

Messages = Sequence[Mapping[str, Any]]

DIGESTS = ("vocabulary_sha256", "chat_template_sha256")
"""The part of a tokenizer that decides the ids of a text."""

_PROBE = "reply"


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
        if isinstance(template, dict):  # one for tool use, say, besides the default
            template = json.dumps(template, sort_keys=True)
        return {
            "tokenizer": self.name,
            "vocabulary_sha256": hashlib.sha256(vocabulary.encode()).hexdigest(),
            "chat_template_sha256": template and hashlib.sha256(template.encode()).hexdigest(),
        }

    @cached_property
    def end_of_turn(self) -> str:
        """The special token that its chat template puts behind a reply; empty where it has none."""
        exchange = [self._message("user", "ask"), self._message("assistant", _PROBE)]
        _, _, tail = self.rendered(exchange).rpartition(_PROBE)
        ids = self.ids([tail])[0] if tail else []
        if not ids or ids[0] not in self.tokenizer.all_special_ids:
            return ""
        return self.texts([ids[:1]])[0]

    @cached_property
    def opening(self) -> str:
        """The text that the template puts before a first user message, such as a system prompt."""
        before, _, _ = self.rendered([self._message("user", _PROBE)]).partition(_PROBE)
        return before

    def _message(self, role: str, text: str) -> Message:
        """A message with a content in the form that the template takes."""
        parts = [{"type": "text", "text": text}]
        return {"role": role, "content": text if self.takes_text else parts}

    @cached_property
    def takes_text(self) -> bool:
        """True where the template shows a text as content; some take lists of parts alone."""
        try:
            return _PROBE in self.rendered([{"role": "user", "content": _PROBE}])
        except ParameterError:
            return False  # refused for another reason, which is said of the conversation itself

    @property
    def marks_replies(self) -> bool:
        """True where the template marks what the assistant writes with `{% generation %}`."""
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
            raise TemplateRefusalError(f"{_in_words(messages)}: {error}") from error

    def fitted(self, messages: Sequence[Message]) -> list[Message]:
        """Messages as the template takes them: parts that are all texts as one text."""
        return [
            {**message, "content": content_text(message["content"])}
            if isinstance(message.get("content"), list)
            and message["content"]
            and is_text(message["content"])
            and self.takes_text
            else message
            for message in messages
        ]


class TemplateRefusalError(ParameterError):
    """A conversation that a chat template cannot render; the text says which and why."""


def _in_words(messages: Messages) -> str:
    """The kinds of content of a conversation besides text, or else its roles."""
    kinds = [kind for message in messages for kind in unread_parts(message.get("content"))]
    if kinds:
        return f"with a content of the type {' and '.join(dict.fromkeys(kinds))}"
    roles = dict.fromkeys(str(message["role"]) for message in messages)
    return f"of the roles {', '.join(roles)}"


def _for_template(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates take it: arguments as objects, and content that is always there."""
    given = {"content": "", **message}
    if "tool_calls" in given:
        given["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": arguments_of(call)}}
            for call in given["tool_calls"]
        ]
    return given


def arguments_of(call: Mapping[str, Any]) -> Any:
    """Arguments as an object where they parse as one, else as the text that they are."""
    text = call["function"].get("arguments")
    found = decoded(text)
    return found if isinstance(found, dict) else {} if found is None else text


def _is_path(name: str) -> bool:
    """True if a name can only be a folder's: an id is a name or owner/name."""
    return name.startswith((".", "/", "~")) or name.count("/") > 1
