"""Steps as their messages: blocks with a role, a label, and a text or arguments."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from workbench.log.conversation import Message, decoded, said

Block = dict[str, Any]
"""`role`, `label`, `text`; a call has `args`, pairs of name and value, in place of a text."""

ROLES = ("system", "user", "tool", "environment", "thought", "action")

_SPEAKER = re.compile(r"\[(user|tool|system|assistant)(?::([\w.-]{1,80}))?\]\s*")
_BRACKET = re.compile(r"([A-Za-z_][\w.-]{0,40})\[([^\[\]]*)\]")
_ROLE = {"developer": "system", "function": "tool", "assistant": "action"}


class Turns:
    """The steps of rollouts as blocks; it remembers which call a tool answers."""

    def __init__(self) -> None:
        self._called: dict[str, str] = {}

    def blocks(self, row: Mapping[str, Any]) -> list[Block]:
        """Messages of a step, in order.

        Args:
            row: Its row of the log. Its messages where it has any; otherwise its
                observation, its thought (a column `thought`, where there is one) and its action.
        """
        messages = row.get("messages")
        if messages:
            return [block for message in json.loads(messages) for block in self._message(message)]
        thought = row.get("thought")
        return [
            _observed(row["observation"]),
            *([_block("thought", "thought", thought)] if isinstance(thought, str) else []),
            *_done(row["action"]),
        ]

    def _message(self, message: Message) -> list[Block]:
        role = str(message["role"])
        role = _ROLE.get(role, role)
        role = role if role in ROLES else "environment"
        label = str(message.get("name") or ("message" if role == "action" else role))
        answered = message.get("tool_call_id")
        if answered is not None:
            label = str(message.get("name") or self._called.get(str(answered)) or f"to {answered}")
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            self._called[str(call.get("id"))] = str(function.get("name"))
        found = []
        for kind, text in said(message):
            if kind == "call":
                found.append(_call(text) or _block("action", "call", text))
            else:
                found.append(
                    _block(
                        "thought" if kind == "thought" else role,
                        kind if kind == "thought" else label,
                        text,
                    )
                )
        return found or [_block(role, label, "")]


def answer(text: str) -> Block:
    """Environment's answer to the last step."""
    return {**_observed(text), "label": "answer"}


def done(action: str) -> str:
    """An action on one line: its text, and its calls as name(argument, …)."""
    parts = []
    for block in _done(action):
        if "args" in block:
            parts.append(f"{block['label']}({', '.join(value for _, value in block['args'])})")
        else:
            parts.append(block["text"])
    return " ".join(part for part in parts if part)


def whole_text(block: Block) -> str:
    """Everything that a block says."""
    if "args" in block:
        return " ".join([block["label"], *(f"{name} {value}" for name, value in block["args"])])
    text: str = block["text"]
    return text


def _block(role: str, label: str, text: str) -> Block:
    return {"role": role, "label": label, "text": text}


def _observed(text: str) -> Block:
    """An observation; `[user] Hi` and `[tool:search] …` name who speaks."""
    speaker = _SPEAKER.match(text)
    if not speaker:
        return _block("environment", "environment", text)
    role = _ROLE.get(speaker.group(1), speaker.group(1))
    return _block(role, speaker.group(2) or speaker.group(1), text[speaker.end() :])


def _done(text: str) -> list[Block]:
    """An action: its text, then its calls, one per line, as `action_text` writes them."""
    bracket = _BRACKET.fullmatch(text.strip()) if len(text) < 4000 else None
    if bracket:
        return [{"role": "action", "label": bracket.group(1), "args": [["", bracket.group(2)]]}]
    lines = text.split("\n")
    calls: list[Block] = []
    while lines and (call := _call(lines[-1])) is not None:
        calls.insert(0, call)
        lines.pop()
    rest = "\n".join(lines)
    spoken = [_block("action", "action", rest)] if rest or not calls else []
    return [*spoken, *calls]


def _call(text: str) -> Block | None:
    """A line of canonical JSON as a call; None for any other text."""
    line = text.strip()
    value = decoded(line) if line.startswith("{") else None
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    arguments = value.get("arguments")
    if set(value) - {"name", "arguments"} or not isinstance(arguments, dict | str | None):
        return None
    named = arguments if isinstance(arguments, dict) else {"": arguments} if arguments else {}
    args = [[str(name), _value(given)] for name, given in named.items()]
    return {"role": "action", "label": value["name"], "args": args}


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def cut(blocks: Sequence[Block], most: int) -> tuple[list[Block], dict[int, int]]:
    """Blocks of at most so many characters each, and the whole length of those that were cut."""
    found: list[Block] = []
    lengths: dict[int, int] = {}
    for number, block in enumerate(blocks):
        length = len(whole_text(block))
        if length > most:
            lengths[number] = length
        found.append(_shortened(block, most) if length > most else block)
    return found, lengths


def _shortened(block: Block, most: int) -> Block:
    if "args" not in block:
        return {**block, "text": block["text"][:most]}
    each = max(most // max(len(block["args"]), 1), 40)
    return {**block, "args": [[name[:80], value[:each]] for name, value in block["args"][:20]]}
