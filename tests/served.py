"""A folder behind a web server that gives parts of files, and counts what it sends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any


@dataclass
class Served:
    """Files of a server, and requests that it got.

    Args:
        folder: The files.
        address: Of the folder.
        ranges: Whether it gives parts of files; other servers send the whole one.
        tags: Whether it tells an ETag.
        breaks_at: A part that has this byte is cut off in the middle, if any.
        before: Called with the first byte of a part before it is sent.
        sent: File -> bytes of it that were sent.
        asked: Method, path and range of each request.
    """

    folder: Path
    address: str = ""
    ranges: bool = True
    tags: bool = True
    breaks_at: int | None = None
    before: Callable[[int], None] = lambda first: None
    sent: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A server on this machine for as long as the context lasts."""
    state = Served(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(state))
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _handler(state: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def log_message(self, *_: Any) -> None:
            pass

        def _answer(self) -> None:
            name = self.path.partition("?")[0].lstrip("/")
            asked = self.headers.get("Range")
            state.asked.append((self.command, self.path, asked))
            path = state.folder / name
            if path.is_dir():
                links = "".join(f'<a href="{p.name}">x</a>' for p in sorted(path.iterdir()))
                self._send(200, links.encode(), {"Content-Type": "text/html"})
            elif not path.is_file():
                self._send(404, b"", {})
            else:
                self._send_file(name, path, asked if state.ranges else None)

        def _send_file(self, name: str, path: Path, asked: str | None) -> None:
            match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
            if match is not None:
                state.before(int(match[1]))
            whole = path.read_bytes()
            first, last, headers = 0, len(whole) - 1, {"Content-Type": "application/octet-stream"}
            if state.tags:
                headers["ETag"] = f'"{hashlib.sha256(whole).hexdigest()[:16]}"'
            if match is not None:
                first, last = int(match[1]), min(int(match[2]), last)
                headers["Content-Range"] = f"bytes {first}-{last}/{len(whole)}"
            body = whole[first : last + 1]
            breaks = state.breaks_at is not None and first <= state.breaks_at <= last
            self._send(206 if asked else 200, body, headers, cut=breaks)
            if self.command == "GET":
                state.sent[name] = state.sent.get(name, 0) + len(body)

        def _send(
            self, status: int, body: bytes, headers: dict[str, str], *, cut: bool = False
        ) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = cut or self.close_connection

    return Handler
