"""Sessions as Claude Code, Codex and Pi write them, against what they asked of the model.

The programs come from npm: @anthropic-ai/claude-code, @openai/codex,
@earendil-works/pi-coding-agent. Each asks a server on this machine, so that the prompt of every
step of the log can be held against the request that was sent.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from producers.answering import Asked, answering
from workbench.log.conversation import call_text, content_text, normalised
from workbench.log.increments import conversations
from workbench.readers import import_log
from workbench.readers.responses import answer_of, begins_call, empty_reply, is_answer, join_item

REMINDER = re.compile(r"<system-reminder>.*?</system-reminder>", re.DOTALL)
Said = tuple[str, str, tuple[str, ...], str | None]


def pi(home: Path, address: str) -> tuple[list[str], list[str], dict[str, str]]:
    provider = {
        "baseUrl": f"{address}/v1",
        "api": "openai-completions",
        "apiKey": "none",
        "compat": {"supportsDeveloperRole": False, "supportsReasoningEffort": False},
        "models": [{"id": "demo"}],
    }
    folder = home / ".pi/agent"
    folder.mkdir(parents=True)
    (folder / "models.json").write_text(json.dumps({"providers": {"here": provider}}))
    first = ["pi", "--offline", "-p", "--provider", "here", "--model", "demo"]
    return first, [*first, "-c"], {}


def codex(home: Path, address: str) -> tuple[list[str], list[str], dict[str, str]]:
    (home / "config.toml").write_text(
        'model = "demo"\nmodel_provider = "here"\napproval_policy = "never"\n'
        'sandbox_mode = "danger-full-access"\n[model_providers.here]\nname = "here"\n'
        f'base_url = "{address}/v1"\nwire_api = "responses"\nenv_key = "NO_KEY"\n'
    )
    first = ["codex", "exec", "--skip-git-repo-check"]
    return first, [*first, "resume", "--last"], {"CODEX_HOME": str(home), "NO_KEY": "none"}


def claude(home: Path, address: str) -> tuple[list[str], list[str], dict[str, str]]:
    first = ["claude", "--allowedTools", "Bash", "-p"]
    known = {
        "ANTHROPIC_BASE_URL": address,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CONFIG_DIR": str(home / "claude"),
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
        "DISABLE_AUTOUPDATER": "1",
    }
    return first, ["claude", "--allowedTools", "Bash", "-c", "-p"], known


def session_of(
    program: Callable[[Path, str], tuple[list[str], list[str], dict[str, str]]],
    questions: Sequence[str],
    folder: Path,
    server: Asked,
) -> list[Path]:
    """The files of a session in which questions were asked one after another."""
    home, work = folder / "home", folder / "work"
    home.mkdir()
    work.mkdir()
    first, again, known = program(home, f"http://127.0.0.1:{server.server_port}")
    # Its own settings and no key of this machine's.
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), **known}
    for at, question in enumerate(questions):
        command = [*(again if at else first), question]
        ran = subprocess.run(
            command, cwd=work, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr.decode()
    return sorted(path for path in home.rglob("*.jsonl") if "session" in path.read_text())


def sent(request: Mapping[str, Any]) -> list[Said]:
    """The messages of a request, without what is said before them."""
    if "messages" in request:
        return told(request["messages"])
    messages: list[dict[str, Any]] = []
    call: dict[str, Any] | None = None
    for item in request["input"]:
        kind = item.get("type") or "message"
        if is_answer(kind):
            messages.append(answer_of(item))
            call = None
        elif kind == "message" and item["role"] != "assistant":
            messages.append({"role": item["role"], "content": item["content"]})
            call = None
        else:
            if begins_call(item, call):
                call = empty_reply()
                messages.append(call)
            join_item(call or {}, item)
    return told(messages)


def told(messages: Any) -> list[Said]:
    """Messages in a form in which both sides can be compared.

    Neighbouring messages of the user are one to a provider, and reminders that the program adds
    are not in its session.
    """
    found: list[Said] = []
    for each in normalised(messages).messages:
        text = " ".join(REMINDER.sub("", content_text(each.get("content"))).split())
        role = each["role"]
        if role in {"system", "developer"} or (role == "user" and not text):
            continue
        calls = tuple(call_text(call) for call in each.get("tool_calls") or ())
        if found and role == found[-1][0] == "user":
            text = f"{found.pop()[1]} {text}"
        found.append((role, text, calls, each.get("tool_call_id")))
    return found


@pytest.mark.parametrize("program", [claude, codex, pi])
def test_the_prompt_of_each_step_is_one_that_was_sent(
    program: Callable[[Path, str], tuple[list[str], list[str], dict[str, str]]], tmp_path: Path
):
    name = program.__name__
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    questions = ["Please look around.", "Tell me more.", "And look again."]
    with answering() as server:
        files = session_of(program, questions, tmp_path, server)
        requests = [sent(request) for request in server.requests]
    log = import_log(files).validated.log
    (talk,) = conversations(log)
    assert talk is not None
    prompts = [
        told(segment.prompt(step))
        for segment in talk.segments
        for step in range(len(segment.replies))
    ]
    # Two questions take two calls of the model each, since it looks first.
    assert [prompt in requests for prompt in prompts] == [True] * 5
    assert [len(prompt) for prompt in prompts] == sorted({len(prompt) for prompt in prompts})
    assert log["action"][0].splitlines()[0] == "I look twice."
    assert len(log["action"][0].splitlines()) == 3
    assert log["observation"][1].count("drawer") == log["observation"][1].count("shelf") == 1
