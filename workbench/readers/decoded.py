"""Conversations that were logged as decoded text: who spoke is read off the chat template's marks.

Three ways of marking are known. ChatML (`<|im_start|>user`) and Llama 3
(`<|start_header_id|>user<|end_header_id|>`) are exact. Where special tokens were skipped when the
text was decoded, only a bare line `user`, `assistant`, `tool` or `system` is left of them, and a
message that holds such a line itself is cut in two: whoever reads a log that way says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from workbench.readers.messages import Turn, turns

PARSED = "turns"
"""Value of the column `reconstructed` for rows with turns split out of decoded text."""


@dataclass(frozen=True, kw_only=True)
class _Marks:
    start: re.Pattern[str]
    end: re.Pattern[str]


_ROLE = "(system|developer|user|assistant|tool|ipython)"
_CHATML = _Marks(
    start=re.compile(r"<\|im_start\|>" + _ROLE + r"\n?"),
    end=re.compile(r"<\|im_end\|>|<\|endoftext\|>"),
)
_LLAMA = _Marks(
    start=re.compile(r"<\|start_header_id\|>" + _ROLE + r"<\|end_header_id\|>\n*"),
    end=re.compile(r"<\|eot_id\|>|<\|eom_id\|>|<\|end_of_text\|>"),
)
_BARE = _Marks(
    start=re.compile(r"(?:^|(?<=\n))" + _ROLE + r"[ \t]*(?:\n+|$)"), end=re.compile(r"(?!)")
)
_ASKING = (
    "<|im_start|>assistant\n",
    "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "\nassistant\n",
)


def decoded_turns(prompt: str, response: str) -> list[Turn]:
    r"""The steps of a conversation of which the prompt and all that followed are text.

    A prompt without marks is one user message; what the response begins with is the assistant's.
    What the assistant says in the prompt is history and no step.

    Example:
        >>> answer = "look\nuser\na key\nassistant\ntake"
        >>> first, second = decoded_turns("user\ngo\nassistant\n", answer)
        >>> first.action, second.observation, second.action
        ('look', 'a key', 'take')
    """
    marks = _marks(prompt + response)
    messages = _split(prompt, marks) or [("user", prompt)]
    if len(messages) > 1 and messages[-1] == ("assistant", ""):
        messages.pop()  # the prompt ends with the mark that asks the assistant to speak
    asked = len(messages)
    messages += _split(response, marks, first="assistant")
    written = range(asked, len(messages))
    return turns([{"role": role, "content": text} for role, text in messages], written)


def numbered_turns(texts: Sequence[str], acts: Sequence[int]) -> list[Turn]:
    """The steps of a conversation of which only texts are known, and which are the policy's."""
    roles = ["assistant" if at in acts else "user" for at in range(len(texts))]
    return turns([{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)])


def prompt_and_rest(conversation: str) -> tuple[str, str]:
    """A decoded conversation cut behind the mark that lets the assistant speak first."""
    for mark in _ASKING:
        before, found, after = conversation.partition(mark)
        if found:
            return before + found, after
    return conversation, ""


def _marks(text: str) -> _Marks:
    return next((marks for marks in (_CHATML, _LLAMA) if marks.start.search(text)), _BARE)


def _split(text: str, marks: _Marks, first: str = "") -> list[tuple[str, str]]:
    """Role and content of each message; what stands before the first mark is `first`'s."""
    pieces = marks.start.split(text)
    messages = list(zip(pieces[1::2], pieces[2::2], strict=True))
    if first:
        messages = [(first, pieces[0]), *messages]
    return [(role, marks.end.split(content)[0].strip("\n")) for role, content in messages]
