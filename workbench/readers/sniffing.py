"""What the first record of a file looks like, for `sniff`."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.readers.base import Diagnostics
from workbench.readers.jsonfiles import Record, json_lines

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@lru_cache(maxsize=2)
def first_record(path: Path, head: bytes) -> Record:
    """The first sound record of a JSONL file; empty where there is none near its beginning.

    A damaged line does not hide the next ones, and a first line that is longer than the head is
    read to its end.
    """
    if not head.removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"{"):
        return {}
    if b"\n" not in head:
        _, record = next(json_lines(path, Diagnostics()), (0, {}))
        return record
    for line in head.removeprefix(_BYTE_ORDER_MARK).splitlines():
        try:
            value: Any = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return {}
