r"""Half characters: what a string cut in the middle of an emoji leaves behind (`"\ud83d"`).

A lone surrogate cannot be written as UTF-8. It becomes U+FFFD, also in keys, and where JSON stands
as text inside JSON and is decoded a second time.
"""

from __future__ import annotations

import json
import re
from typing import Any

_REPLACED = "\ufffd"
_SUSPECT = re.compile(r"\\u[dD][89a-fA-F]|[\ud800-\udfff]")
_ESCAPES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}"
)
_ONE = 6  # characters of an escape
SUSPECT = r"\\u[dD][89a-fA-F]"
"""Pattern of a text that may hold an escaped half."""


class Mender:
    r"""Replaces half characters, and counts them.

    Example:
        >>> mender = Mender()
        >>> mender.mended({"a": ["\ud83d!"]}) == {"a": ["\ufffd!"]}, mender.count
        (True, 1)
    """

    def __init__(self) -> None:
        self.count = 0

    def mended(self, value: Any) -> Any:
        """A JSON value without half characters.

        Raises:
            RecursionError: It is nested too deeply.
        """
        if isinstance(value, str):
            return self._text(value) if _SUSPECT.search(value) else value
        if isinstance(value, list):
            return [self.mended(item) for item in value]
        if isinstance(value, dict):
            return {self.mended(key): self.mended(item) for key, item in value.items()}
        return value

    def _text(self, text: str) -> str:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        self.count += whole.count(_REPLACED) - text.count(_REPLACED)
        if not whole.lstrip().startswith(("{", "[", '"')):
            return whole
        try:
            json.loads(whole)
        except ValueError:
            return whole  # no JSON: an escape in it is text, such as that of a program
        escaped = _ESCAPES.sub(self._escape, whole)
        # What the text holds may be JSON again, whose escapes are escaped once more.
        inner = Mender()
        value = json.loads(escaped)
        mended = inner.mended(value)
        self.count += inner.count
        return json.dumps(mended, ensure_ascii=False) if inner.count else escaped

    def _escape(self, found: re.Match[str]) -> str:
        if len(found.group()) != _ONE:
            return found.group()
        self.count += 1
        return r"\ufffd"
