"""Addresses without what lets others in: passwords, and the signatures of web addresses."""

from __future__ import annotations

import hashlib
import re

_OF_WEB = re.compile(r"(?P<before>\bhttps?://)[^/?#@\s]+@", re.I)
_PASSWORD = re.compile(r"(?P<before>://[^/?#@:\s]*:)[^/@\s]+@")
_ASKED = re.compile(
    r"(?P<before>[?&][^=&\s]*(?:sig|token|key|secret|credential|password|passwd|auth|policy)"
    r"[^=&\s]*=)(?P<value>[^&#\s'\"<>()]+)",
    re.I,
)


def without_secrets(text: str) -> str:
    """A text with `***` for the secrets of addresses in it.

    These are the password before a host, for `http` the user too, which may be a token, and values
    behind `?` whose names sound like a secret; of those, six digits of a digest still tell one
    from another. `abfs://container@account/` stays as it is.
    """
    hidden = _PASSWORD.sub(r"\g<before>***@", _OF_WEB.sub(r"\g<before>***@", text))
    return _ASKED.sub(_digest, hidden)


def _digest(match: re.Match[str]) -> str:
    digest = hashlib.sha256(match["value"].encode()).hexdigest()[:6]
    return f"{match['before']}***{digest}"
