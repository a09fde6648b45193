"""The app as a server: names of uploads, hostile addresses, and who may ask from where."""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from app_pages import OpenApp
from streamlit import config

from workbench.cli.output import app_command
from workbench.readers.bundled import app_script
from workbench.ui import state
from workbench.ui.hints import of_error
from workbench.ui.library import Library
from workbench.ui.text import escaped, told
from workbench.ui.upload import _file_name

LONG = "x" * 5000


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("log.jsonl", "log.jsonl"),
        ("../../etc/passwd", "passwd"),
        ("C:\\logs\\a.csv", "a.csv"),
        ("..", "upload"),
        ("", "upload"),
        ("a\0b\n\x1b[31m\u202e.csv", "ab[31m.csv"),
    ],
)
def test_an_upload_keeps_the_last_part_of_its_name(given: str, kept: str) -> None:
    assert _file_name(given) == kept


@pytest.mark.parametrize("name", [LONG + ".jsonl.gz", "日" * 500 + ".jsonl.gz"])
def test_a_long_name_of_an_upload_is_cut_and_can_be_kept(name: str, tmp_path: Path) -> None:
    cut = _file_name(name)
    # 60 bytes of each end and three of the sign between them.
    assert len(cut.encode()) <= 123
    assert cut[-9:] == name[-9:]
    path = Path(Library(tmp_path, ()).keep_upload(cut, b"content"))
    assert path.read_bytes() == b"content"
    assert path.is_relative_to(tmp_path / "uploads")


KEYS = [key for name, key in vars(state).items() if name.startswith("URL_")]
"""All keys of an address that the app reads."""

HOSTILE = ["../../etc/passwd", "/etc/passwd", "*", "?", "a\0b", "\x1b[31m", LONG, "[](javascript:)"]


@pytest.mark.parametrize("value", HOSTILE, ids=[f"value {n}" for n in range(len(HOSTILE))])
def test_a_hostile_address_is_refused_in_words(value: str, app: OpenApp, tmp_path: Path) -> None:
    test = app(query=dict.fromkeys(KEYS, value))
    assert not test.exception
    said = [warning.value for warning in test.warning]
    assert any("There is no log" in text for text in said)
    assert all(len(text) < 1500 for text in said)
    assert not any(str(tmp_path) in text for text in said)
    assert len(test.query_params["log"][0]) in {1, 16}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The app as `workbench app` starts it, from another folder; its port."""
    folder = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = app_command([], embedder="tfidf", port=port, address="127.0.0.1",
                          allow_path_input=False, headless=True)  # fmt: skip
    home = {**os.environ, "XDG_CACHE_HOME": str(folder)}
    process = subprocess.Popen(command, cwd=folder, env=home, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                if asked(port, "GET", "/_stcore/health")[0] == 200:
                    break
            except OSError:
                assert time.monotonic() < until
                assert process.poll() is None
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def asked(port: int, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    """The status and the headers of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers=named)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


SOCKET = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec_WebSocket_Version": "13",
          "Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ=="}  # fmt: skip


def test_another_origin_gets_no_session(server: int) -> None:
    foreign = asked(server, "GET", "/_stcore/stream", Origin="http://evil.example", **SOCKET)
    assert foreign[0] == 403


def test_another_origin_is_not_allowed_to_read(server: int) -> None:
    _, headers = asked(server, "GET", "/_stcore/health", Origin="http://evil.example")
    assert headers.get("access-control-allow-origin") in {None, f"http://127.0.0.1:{server}"}


def test_an_upload_without_a_token_is_refused(server: int) -> None:
    status, _ = asked(server, "PUT", "/_stcore/upload_file/session/file", Content_Length="0")
    assert status in {400, 401, 403}


@pytest.mark.parametrize("path", ["/../../../../etc/passwd", "/app/static/../../etc/passwd"])
def test_no_file_of_the_machine_is_served(server: int, path: str) -> None:
    status, headers = asked(server, "GET", path)
    assert status >= 400 or headers["content-type"].startswith("text/html")


def test_an_upload_expires_with_its_log_and_one_that_comes_again_stays(tmp_path: Path) -> None:
    kept = Library(tmp_path, ())
    texts = [EXAMPLE.replace(b"mug", word) for word in (b"mug", b"cup", b"jar")]
    paths = [Path(kept.keep_upload(f"{k}.jsonl", text)) for k, text in enumerate(texts)]
    ids = [kept.add([str(path)]).id for path in paths]
    assert all(kept.find(one) for one in ids)
    for path in paths[:2]:
        os.utime(path.parent, (0, 0))
    kept.keep_upload("0.jsonl", texts[0])
    assert [path.exists() for path in paths] == [True] * 3
    # As it starts, the first is new again, the second is older than a day, the third is new.
    expiring = Library(tmp_path, (), 1)
    assert [path.exists() for path in paths] == [True, False, True]
    assert [expiring.find(one) is not None for one in ids] == [True, False, True]
    # And when something is uploaded.
    os.utime(paths[2].parent, (0, 0))
    expiring.keep_upload("0.jsonl", texts[0])
    assert [path.exists() for path in paths] == [True, False, False]
    assert [expiring.find(one) is not None for one in ids] == [True, False, False]


EXAMPLE = b"".join(
    b'{"group_id": "g", "trajectory_id": "t%d", "step_index": 0, "observation": "a mug", '
    b'"action": "take", "reward": %d}\n' % (number, number)
    for number in range(2)
)


def test_a_table_cannot_be_downloaded_as_csv_and_errors_show_no_traceback() -> None:
    # Streamlit reads the options of the folder of the script, and refuses names that it has not.
    shown = tomllib.loads((app_script().parent / ".streamlit" / "config.toml").read_text())
    assert shown["client"]["disableDataExport"] is True
    assert shown["client"]["showErrorDetails"] == "type"
    assert "client.disableDataExport" in config.get_config_options()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("/srv/x/uploads/0a/log.jsonl:3: no JSON", "log.jsonl:3: no JSON"),
        ("[Errno 28] No space left on device: '/srv/app/log/.0a.part/log.parquet'",
         "[Errno 28] No space left on device: 'log.parquet'"),
        ("s3://bucket/folder/a.jsonl, https://host/a/b and and/or 1/2 stay",
         "s3://bucket/folder/a.jsonl, https://host/a/b and and/or 1/2 stay"),
    ],
)  # fmt: skip
def test_an_error_names_no_folder_of_the_machine(error: str, said: str) -> None:
    assert of_error(error) == said
    assert told(OSError(error)) == escaped(said)
