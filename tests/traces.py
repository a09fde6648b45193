"""Traces of verifiers as files, and logs as a reader makes them of such files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from batches import STEP, Log, made, step_row

Traced = tuple[pl.DataFrame, pl.DataFrame, Path]
# Keys, spacing and escapes as no writer of ours would have them.
ODD = (
    '{"id": "ep-1", "note":"\\u00e4 \\"advantages\\": [1]", "env" : {"id": "x"},'
    '"task": {"type": "T","data": {"idx": 0, "prompt": "p"}}, "traces": [{"id": "tr-1","task": '
    '{"type": "T", "data": {"idx": 0, "prompt": "p"}}, '
    '"agent": {"config": {}, "name": "agent", "trainable":true}, '
    '"nodes":[{"message":{"role":"user","content":"q"},"token_ids":[5],"mask":[false],'
    '"sampled":false},{"parent":0,"message":{"role":"assistant","content":"r"},"sampled":true,'
    '"token_ids":[1,6,7],"mask":[false,true,true],"logprobs":[-0.5,-1e-3]}]}]}'
)
PLAIN = {
    "id": "ep-0",
    "env": {"id": "x"},
    "task": {"type": "T", "data": {"idx": 0, "prompt": "p"}},
    "traces": [
        {
            "id": "tr-0",
            "task": {"type": "T", "data": {"idx": 0, "prompt": "p"}},
            "agent": {"config": {}, "name": "agent", "trainable": True},
            "nodes": [
                {"message": {"role": "user", "content": "q"}, "token_ids": [5], "mask": [False]},
                {
                    "parent": 0,
                    "message": {"role": "assistant", "content": "r"},
                    "sampled": True,
                    "token_ids": [1, 6],
                    "mask": [False, True],
                    "logprobs": [-0.5],
                    "advantages": [9.0],
                },
                {
                    "parent": 1,
                    "message": {"role": "user", "content": "s"},
                    "token_ids": [8, 9],
                    "mask": [False, False],
                },
                {
                    "parent": 2,
                    "message": {"role": "assistant", "content": "t"},
                    "sampled": True,
                    "token_ids": [7, 7],
                    "mask": [True, True],
                    "logprobs": [-0.5, -0.25],
                },
            ],
        }
    ],
}


def traced(tmp_path: Path, *, newline: str = "\n", **columns: Any) -> Traced:
    """A log as a reader makes it of two episodes, its credit, and the file."""
    path = tmp_path / "traces.jsonl"
    path.write_bytes((json.dumps(PLAIN) + newline + ODD + newline).encode())
    steps = [
        ("tr-0", 0, 0.5, 1, [5, 1], [6]),
        ("tr-0", 1, -2.0, 1, [5, 1, 6, 8, 9], [7, 7]),
        ("tr-1", 0, 0.1, 2, [5, 1], [6, 7]),
    ]
    rows = [
        step_row(trajectory, step, advantage, source_file=str(path), source_line=line,
                 prompt_ids=prompt, response_ids=response, **columns)
        for trajectory, step, advantage, line, prompt, response in steps
    ]  # fmt: skip
    log, credit = made(rows)
    return log, credit, path


def from_traces(log: pl.DataFrame, path: Path) -> pl.DataFrame:
    """Writes a log as traces, one episode per trajectory, and gives it as one that was read there.

    A prompt that begins with the sequence before it hangs on that; any other starts over. What has
    no token ids has none in the traces either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    episodes, numbers = [], {}
    for trajectory in log.sort(STEP).partition_by("trajectory_id", maintain_order=True):
        name = trajectory["trajectory_id"][0]
        nodes = _nodes(trajectory.to_dicts())
        agent = {"config": {}, "name": "agent", "trainable": True}
        traces = [{"id": name, "task": PLAIN["task"], "agent": agent, "nodes": nodes}]
        episodes.append({**PLAIN, "id": f"ep-{name}", "traces": traces})
        numbers[name] = len(episodes)
    text = "".join(json.dumps(episode, ensure_ascii=False) + "\n" for episode in episodes)
    path.write_text(text, encoding="utf-8")
    line = pl.col("trajectory_id").replace_strict(numbers, return_dtype=pl.Int32)
    return log.with_columns(source_file=pl.lit(str(path)), source_line=line)


def _nodes(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = []
    sequence: list[int] = []
    for step in steps:
        prompt, reply = step.get("prompt_ids") or [], step.get("response_ids") or []
        follows = bool(nodes) and prompt[: len(sequence)] == sequence
        new = prompt[len(sequence) :] if follows else prompt
        sampled = step.get("response_mask") or [1] * len(reply)
        asked = {"message": {"role": "user", "content": step["observation"]}, "token_ids": new}
        if follows:
            asked["parent"] = len(nodes) - 1
        nodes.append({**asked, "mask": [False] * len(new)})
        answer = {"role": "assistant", "content": step["action"]}
        nodes.append(
            {"parent": len(nodes) - 1, "message": answer, "sampled": True, "token_ids": reply,
             "mask": [bool(value) for value in sampled]}
        )  # fmt: skip
        sequence = prompt + reply
    return nodes


def sample_log(folder: Path) -> Log:
    """Every kind of step that a target meets, as read from traces in a folder.

    t0 has a token that was put in, and its last step is not trained; of t1 the first is not. t2's
    second prompt was written anew. t3 is excluded, t4's advantage is infinite, t5 has no token ids.
    Group i has no advantage, and nothing of t7 is trained. After one history t0 and t1 did not do
    the same, nor did t2 and t5.
    """

    def step(trajectory: str, number: int, advantage: float | None, prompt: list[int] | None,
             response: list[int] | None, **columns: Any) -> dict[str, Any]:  # fmt: skip
        size = len(response or [])
        logged = {
            "response_mask": [1] * size,
            "response_logprobs": [-0.1 - 0.3 * number] * size,
            "policy_version": 3 + number,
            "train_step": 6,
            "model": "policy",
            "tokenizer": "words",
            "task": "mugs",
            "success": trajectory == "t0",
        }
        ids = {"prompt_ids": prompt, "response_ids": response}
        return step_row(trajectory, number, advantage, **{**logged, **ids, **columns})

    here, there, dead = {"group": "küche"}, {"group": "h", "task": "keys"}, {"group": "i"}
    rows = [
        step("t0", 0, 0.1, [11, 12], [13, 14, 15], response_mask=[1, 0, 1], **here),
        step("t0", 1, -1 / 3, [11, 12, 13, 14, 15, 16], [17, 18], **here),
        step("t0", 2, 9.0, [11, 12, 13, 14, 15, 16, 17, 18, 19], [20], gradient_mask=False,
             reward=1.0, **here),
        step("t1", 0, 5.0, [21], [22, 23], gradient_mask=False, **here),
        step("t1", 1, 1e-7, [21, 22, 23, 24], [25], truncated=True, action="do less", **here),
        step("t2", 0, 2.5, [31, 32], [33], **there),
        step("t2", 1, -0.75, [34, 35], [36, 37], **there),
        step("t3", 0, None, [41], [42], reward=None, **there),
        step("t4", 0, float("inf"), [51], [52], **there),
        step("t5", 0, 1.0, None, None, response_mask=None, response_logprobs=None, action="do more",
             **there),
        step("t6", 0, 0.0, [61, 62], [63], **dead),
        step("t7", 0, 4.0, [71, 72], [73], gradient_mask=False, **dead),
    ]  # fmt: skip
    types = {"response_mask": pl.List(pl.Int8), "response_logprobs": pl.List(pl.Float32)}
    log, credit = made(rows, **types)
    return from_traces(log, folder / "traces.jsonl"), credit


def without_ids(logged: Log) -> Log:
    """The same steps as a log of texts, read from traces without token ids."""
    log, credit = logged
    source = Path(log["source_file"][0])
    log = log.drop([name for name in log.columns if name.startswith(("prompt_", "response_"))])
    return from_traces(log.drop("tokenizer"), source.with_name("texts.jsonl")), credit
