"""Readers of what trainers write: their samples, real files, and what may be wrong in them."""

from __future__ import annotations

import copy
import itertools
import json
import random
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import LogError, ParameterError
from workbench.readers import import_log, import_to, read
from workbench.readers.decoded import decoded_turns
from workbench.readers.tokens import runs, spread

SAMPLES = Path(__file__).parent / "samples"
CANONICAL = pl.read_parquet(SAMPLES / "canonical_steps.parquet")
STEPS = ("step_index", "observation", "action", "reward")
TOKENS = ("prompt_ids", "response_ids", "response_logprobs")
PRIME, HOOKED, BARE = "prime_traces.jsonl", "verl_agent_hooked", "verl_agent_bare"


def lines(name: str) -> list[dict[str, Any]]:
    path = SAMPLES / name
    path = path if path.is_file() else next(path.rglob("*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def written(folder: Path, records: list[Any], name: str = "log.jsonl") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [item if isinstance(item, str) else json.dumps(item) for item in records]
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return path


def act(command: str) -> str:
    return f'{{"arguments": {{"command": "{command}"}}, "name": "act"}}'


def log_of(*paths: Path, **options: Any) -> pl.DataFrame:
    return import_log(paths, **options).validated.log


# Samples


@pytest.mark.parametrize(
    ("sample", "form", "action", "scale"),
    [
        (PRIME, "verifiers", act, 1),
        ("vf_eval_0.1.14", "verifiers-legacy", str, 1),
        ("vf_eval_0.1.5", "verifiers-legacy", str, 1),
        ("verl_v1", "verl", str, 1),
        ("verl_legacy", "verl", str, 1),
        (HOOKED, "verl-agent", str, 10),
        ("trl", "trl", act, 1),
        ("nemo_rl", "nemo-rl", str, 1),
        ("rllm", "rllm", str, 1),
        ("art", "art", act, 1),
        ("skyrl_eval", "skyrl", str, 1),
        ("areal", "areal", str, 1),
    ],
)
def test_every_sample_becomes_the_nine_canonical_steps(
    sample: str, form: str, action: Callable[[str], str], scale: int
):
    imported = import_log([SAMPLES / sample])
    log = imported.validated.log
    actions = pl.Series("action", [action(text) for text in CANONICAL["action"]])
    expected = CANONICAL.with_columns(actions, pl.col("reward") * scale)
    assert imported.report.format == form
    assert (imported.report.rollouts, imported.report.null_rewards) == ({4: 1}, 0)
    assert log.select(STEPS).to_dicts() == expected.select(STEPS).to_dicts()
    assert log["trajectory_id"].rle_id().to_list() == [0, 0, 1, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("sample", [PRIME, "nemo_rl"])
def test_tokens_of_a_sample_are_the_canonical_ones(sample: str):
    log = log_of(SAMPLES / sample)
    for name in TOKENS:
        assert log[name].to_list() == CANONICAL[name].to_list()
    assert log["response_mask"].to_list() == [[1] * len(ids) for ids in log["response_ids"]]


@pytest.mark.parametrize(
    ("sample", "eps"), [(PRIME, 1e-6), ("nemo_rl", 1e-6), ("open_instruct", 1e-6), ("trl", 1e-4)]
)
def test_the_trainers_own_advantages_are_logged(sample: str, eps: float):
    # Outcomes 1, 1, 0, 0: mean 0.5 and sample deviation sqrt(1/3), so ±0.5 / (0.57735 + eps).
    log = log_of(SAMPLES / sample)
    sign = log.group_by("trajectory_id").agg(pl.col("reward").sum() * 2 - 1)
    both = log.join(sign, on="trajectory_id", suffix="_sign")
    expected = (both["reward_sign"] * 0.5 / ((1 / 3) ** 0.5 + eps)).to_list()
    assert both["logged_advantage"].to_list() == pytest.approx(expected, abs=1e-6)


def test_advantages_of_tokens_lie_on_the_sampled_ones():
    for sample in (PRIME, "nemo_rl"):
        log = log_of(SAMPLES / sample)
        assert log["logged_token_advantage"].list.len().equals(log["response_ids"].list.len())
        assert log["logged_token_advantage"][0].to_list() == pytest.approx([0.866024] * 3)


def test_open_instruct_has_tokens_only_so_a_response_is_a_step():
    imported = import_log([SAMPLES / "open_instruct"])
    log = imported.validated.log
    assert log.height == 4
    assert log["reward"].to_list() == [1.0, 1.0, 0.0, 0.0]
    assert log["action"][0] == " ".join(map(str, log["response_ids"][0]))
    assert log["messages"].null_count() == 4
    assert "rollouts have no text" in str(imported.report)


def test_a_bare_dump_says_that_its_trajectories_are_made_up(tmp_path: Path):
    imported = import_log([SAMPLES / BARE])
    log = imported.validated.log
    # Two of the nine rows are equal: they cannot be told from a copy that filled the batch.
    assert (log.height, log["copies"].sum()) == (8, 9)
    assert set(log["step_index"]) == {0}
    pairs = set(log.select("observation", "action").iter_rows())
    assert pairs == set(CANONICAL.select("observation", "action").iter_rows())
    assert imported.report.reconstructed == {"groups and trajectories": 1.0}
    assert "each row is a trajectory of its own" in str(imported.report)
    said = "reconstructed     groups and trajectories of 100.0% of the rows"
    assert said in str(imported.report)
    assert said in str(import_to(tmp_path / "log.parquet", [SAMPLES / BARE]))


def test_every_row_leads_back_to_its_line():
    expected = [1, 1, 2, 2, 2, 3, 3, 4, 4]
    for sample in (PRIME, "vf_eval_0.1.5", "verl_v1", "trl", "nemo_rl", "art", "skyrl_eval"):
        log = log_of(SAMPLES / sample)
        assert log["source_line"].to_list() == expected
        assert set(log["source_file"]) <= {str(path) for path in (SAMPLES / sample).rglob("*")} | {
            str(SAMPLES / sample)
        }
    assert log_of(SAMPLES / HOOKED)["source_line"].to_list() == list(range(1, 10))


# Real files


def test_real_results_of_vf_eval_are_grouped_by_prompt_not_by_id(shared: Path):
    path = shared / "data/raw/verifiers_math_python_results.jsonl"
    imported = import_log([path])
    log = imported.validated.log
    assert imported.report.rollouts == {3: 5}
    assert (log.height, set(log["model"])) == (45, {"gpt-4.1-mini"})
    # 14 of 15 rollouts were solved; the key `id` would put three different problems together.
    assert log["reward"].sum() == 14
    assert log.filter(pl.col("step_index") == 0)["observation"].n_unique() == 5
    assert log["action"][0].startswith('{"arguments": {"code"')


# verifiers v1


def episode(**changes: Any) -> dict[str, Any]:
    made = copy.deepcopy(lines(PRIME)[1])
    made["traces"][0] |= changes
    return made


def test_compact_values_are_spread_over_the_mask():
    assert spread([-0.5, -0.25], [0, 1, 0, 1], "logprobs") == [0.0, -0.5, 0.0, -0.25]
    assert spread([], [0, 1], "logprobs") is None
    with pytest.raises(ValueError, match="logprobs has 1 values for 2 sampled tokens"):
        spread([-0.5], [1, 1], "logprobs")


@given(st.lists(st.sampled_from([0, 1])))
def test_runs_are_the_stretches_of_ones(sampled: list[int]):
    found = runs(sampled)
    assert sum(end - start for start, end in found) == sum(sampled)
    assert all(all(sampled[start:end]) for start, end in found)
    assert all(after > end for (_, end), (after, _) in itertools.pairwise(found))


def test_branches_keep_the_order_of_sampling_and_each_its_own_context(tmp_path: Path):
    made = episode()
    nodes = made["traces"][0]["nodes"]
    # A second branch leaves the first observation: another answer to it, sampled last.
    other = nodes[1] | {"message": {"role": "assistant", "content": "look elsewhere"}}
    nodes.append(other)
    # A third one begins at a root of its own, as after a compaction.
    nodes.append({"message": {"role": "user", "content": "summary"}, "token_ids": [7], "mask": [0]})
    last = {"message": {"role": "assistant", "content": "go on"}, "sampled": True}
    nodes.append(last | {"parent": 7, "token_ids": [8], "mask": [1]})
    imported = import_log([written(tmp_path, [made])])
    log = imported.validated.log
    assert log["action"].to_list()[3:] == ["look elsewhere", "go on"]
    assert log["observation"].to_list()[3:] == [log["observation"][0], "summary"]
    assert log["prompt_ids"][3].to_list() == log["prompt_ids"][0].to_list()
    assert log["prompt_ids"][4].to_list() == [7]
    assert log["next_observation"].to_list()[3:] == [None, None]
    assert set(log["branches"]) == {3}
    assert log["reward"].to_list() == [0.0] * 4 + [1.0]
    assert "several branches" in str(imported.report)


def test_a_compaction_that_led_nowhere_takes_no_part_in_the_loss(tmp_path: Path):
    for resumed in (False, True):
        made = episode()
        nodes = made["traces"][0]["nodes"]
        attempt = {"message": {"role": "assistant", "content": "summary"}, "sampled": True}
        attempt |= {"parent": 0, "token_ids": [8], "mask": [1]}
        attempt["semantic_parents"] = [{"node": 1, "type": "compaction_attempt"}]
        nodes.append(attempt)
        if resumed:
            nodes[5]["semantic_parents"] = [{"node": 6, "type": "compaction"}]
        log = log_of(written(tmp_path, [made]))
        assert log["gradient_mask"].to_list() == [True, True, True, resumed]


def test_agents_that_are_not_trained_are_left_out_and_stated(tmp_path: Path):
    made = episode()
    judge = copy.deepcopy(made["traces"][0])
    judge |= {"id": "judge", "agent": {"name": "judge", "trainable": False}}
    made["traces"].append(judge)
    report = import_log([written(tmp_path, [made])]).report
    assert report.trajectories == 1
    assert "agent: is not trained" in str(report)
    assert "log.jsonl:1 trace 1" in str(report)


def test_failed_and_unscored_traces_are_excluded_not_failures(tmp_path: Path):
    failed = episode(id="x", ok=False, errors=[{"type": "SandboxError", "message": "gone"}])
    unscored = episode(id="y", rewards={"correct": None})
    partly = episode(
        id="z", rewards={"correct": None, "form": {"score": 0.5, "weight": 0.2}}, ok=True
    )
    imported = import_log([written(tmp_path, [failed, unscored, partly])])
    log = imported.validated.log.unique("trajectory_id").sort("trajectory_id")
    assert log["excluded"].to_list() == [
        "the rollout failed (SandboxError)",
        "reward is null at step 0",
        None,
    ]
    last = imported.validated.log.filter(pl.col("trajectory_id") == "z")
    assert last["reward"].to_list() == pytest.approx([0.0, 0.0, 0.1])
    assert last["aux_reward_form"].to_list() == [None, None, 0.5]


def test_limits_truncate_and_an_end_does_not(tmp_path: Path):
    calls = [{"node": 5, "finish_reason": "length", "model": "m"}]
    changes: list[dict[str, Any]] = [
        {"id": "a", "stop_condition": "max_turns"},
        {"id": "b", "stop_condition": "done"},
        {"id": "c", "stop_condition": "done", "calls": calls},
    ]
    log = log_of(written(tmp_path, [episode(**change) for change in changes]))
    ends = log.filter(pl.col("truncated").is_not_null())
    assert ends["truncated"].to_list() == [True, False, True]
    assert ends["model"].to_list() == [None, None, "m"]


def test_an_episode_without_a_group_is_grouped_by_its_task(tmp_path: Path):
    made = episode()
    del made["group"]
    assert log_of(written(tmp_path, [made]))["group_id"][0] == "step12/find-key/find-key"
    del made["traces"][0]["task"]["key"]
    with pytest.raises(LogError, match=r"no group, and its task no key.*:1"):
        read([written(tmp_path, [made])])


def test_a_group_dispatched_over_two_steps_is_of_the_step_that_trained_on_it(tmp_path: Path):
    early, late = episode(id="early"), episode(id="late")
    late["run"]["work"]["step"] = 13
    log = log_of(written(tmp_path / "step_14/train/all", [early, late], "traces.jsonl"))
    assert set(log["train_step"]) == {14}
    assert set(log["dispatch_step"]) == {12, 13}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"nodes": None}, "nodes is not a list"),
        ({"nodes": [{"message": {}}]}, "a message without a role"),
        ({"id": None}, "the trace has no id"),
        ({"rewards": {"r": {"score": "high"}}}, "reward 'r' is not a number"),
    ],
)
def test_a_malformed_trace_is_named_with_its_line(
    tmp_path: Path, change: dict[str, Any], says: str
):
    path = written(tmp_path, [episode(), episode(**change)])
    with pytest.raises(LogError, match=re.escape(says)) as caught:
        read([path])
    assert f"{path}:2" in str(caught.value)
    assert read([path], skip_bad=True).frame.height == 3


@pytest.mark.parametrize(
    ("node", "change", "says"),
    [
        (1, {"parent": 4}, "the parent of node 1 is 4, not an earlier node"),
        (1, {"parent": 1}, "the parent of node 1 is 1, not an earlier node"),
        (1, {"mask": [True]}, "mask of node 1 has 1 values for 4 tokens"),
        (1, {"logprobs": [0.0]}, "logprobs of node 1 has 1 values for 3 sampled tokens"),
        (1, {"token_ids": ["a"]}, "is not a list of token ids"),
    ],
)
def test_a_malformed_node_is_named(tmp_path: Path, node: int, change: dict[str, Any], says: str):
    made = episode()
    made["traces"][0]["nodes"][node] |= change
    with pytest.raises(LogError, match=re.escape(says)):
        read([written(tmp_path, [made])])


def test_traces_without_tokens_have_none(tmp_path: Path):
    made = episode()
    for node in made["traces"][0]["nodes"]:
        for key in ("token_ids", "mask", "logprobs", "advantages"):
            node.pop(key, None)
    imported = import_log([written(tmp_path, [made])])
    assert imported.report.missing_token_ids == 1.0
    assert "logged_advantage" not in imported.validated.log.columns


# verifiers before v1


def result(**changes: Any) -> dict[str, Any]:
    return lines("vf_eval_0.1.14")[0] | changes


def test_a_saved_trajectory_gives_tokens_and_advantages(tmp_path: Path):
    prompt = result()["prompt"]
    first, seen, second = result()["completion"][:3]
    tokens = {"prompt_ids": [1], "completion_ids": [2, 3], "completion_logprobs": [-0.5, 0.0]}
    items = [
        {"prompt": prompt, "completion": [first], "tokens": tokens, "advantage": 0.5},
        {"prompt": [*prompt, first, seen], "completion": [second], "tokens": None},
    ]
    log = log_of(written(tmp_path, [result(trajectory=items)]))
    assert log["action"].to_list() == ["look drawer", "take key"]
    assert log["observation"].to_list()[1] == "You see a key in the drawer."
    assert log["response_ids"].to_list() == [[2, 3], None]
    assert log["response_mask"].to_list() == [[1, 1], None]
    assert log["logged_advantage"].to_list() == [0.5, None]
    items[0]["tokens"] = tokens | {"completion_logprobs": [-0.5]}
    with pytest.raises(LogError, match="logprobs has 1 values for 2 completion tokens"):
        read([written(tmp_path, [result(trajectory=items)])])


def test_text_prompts_and_failed_rollouts_are_read(tmp_path: Path):
    text = result(prompt="2+2=", completion="4")
    failed = result(error="TimeoutError('slow')", example_id=1)
    log = log_of(written(tmp_path, [text, failed]))
    assert log["observation"][0] == "2+2="
    assert log["action"][0] == "4"
    assert set(log["excluded"]) == {None, "the rollout failed (TimeoutError)"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"completion": 5}, "completion: is neither text nor a list of messages"),
        ({"reward": "good"}, "reward: is not a number"),
        (
            {"completion": [{"role": "assistant", "tool_calls": ["{"]}]},
            "completion: holds a tool call that is no JSON",
        ),
        ({"completion": []}, "completion: holds no assistant message"),
        ({"completion": None, "error": "Boom('x')"}, "failed before a step (Boom)"),
    ],
)
def test_a_bad_result_is_named(tmp_path: Path, change: dict[str, Any], says: str):
    with pytest.raises(LogError) as caught:
        import_log([written(tmp_path, [result(**change)])])
    assert says in str(caught.value)


# verl, AReaL, SkyRL: decoded text


@pytest.mark.parametrize(
    ("prompt", "response"),
    [
        ("system\nrules\nuser\ngo\nassistant\n", "a\nuser\nseen\nassistant\nb"),
        (
            "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n",
            "a<|im_end|>\n<|im_start|>user\nseen<|im_end|>\n<|im_start|>assistant\nb<|im_end|>",
        ),
        (
            "<|start_header_id|>user<|end_header_id|>\n\ngo<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\n",
            "a<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\nseen<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>",
        ),
        ("go", "a\ntool\nseen\nassistant\nb"),
    ],
)
def test_turns_are_told_apart_in_the_usual_templates(prompt: str, response: str):
    first, second = decoded_turns(prompt, response)
    assert (first.observation, first.action, first.next_observation) == ("go", "a", "seen")
    assert (second.observation, second.action, second.next_observation) == ("seen", "b", None)


def test_what_the_prompt_shows_the_assistant_saying_is_no_step():
    only = decoded_turns("user\nq\nassistant\nexample\nuser\ngo\nassistant\n", "a")
    assert [(turn.observation, turn.action) for turn in only] == [("go", "a")]


def test_outputs_of_a_session_are_one_trajectory_with_the_last_score(tmp_path: Path):
    base = {"gts": "k", "step": 3}
    rows = [
        base | {"uid": "g_0_1", "input": "user\nb\nassistant\n", "output": "y", "score": 1.0},
        base | {"uid": "g_1_0", "input": "user\na\nassistant\n", "output": "z", "score": 0.0},
        base | {"uid": "g_0_0", "input": "user\na\nassistant\n", "output": "x", "score": 1.0},
    ]
    log = log_of(written(tmp_path, rows))
    assert log["action"].to_list() == ["x", "y", "z"]
    assert log["reward"].to_list() == [0.0, 1.0, 0.0]
    assert log["source_line"].to_list() == [3, 1, 2]
    with pytest.raises(LogError, match=r"the outputs of a session are \[1\].*:1"):
        read([written(tmp_path, rows[:2])])


def test_legacy_rows_are_grouped_by_prompt_and_truth_in_any_order(tmp_path: Path):
    rows = [
        {
            "input": f"user\n{task}\nassistant\n",
            "output": str(n),
            "gts": task,
            "score": 0,
            "step": 1,
        }
        for n in range(3)
        for task in ("a", "b")
    ]
    random.Random(0).shuffle(rows)
    assert import_log([written(tmp_path, rows)]).report.rollouts == {3: 2}


def test_the_same_prompt_at_two_training_steps_is_two_groups(tmp_path: Path):
    row = lines("verl_legacy")[0]
    paths = [written(tmp_path, [row | {"step": step}], f"{step}.jsonl") for step in (1, 2)]
    assert log_of(*paths)["group_id"].n_unique() == 2


def test_scores_of_tokens_are_summed_and_a_length_stop_truncates(tmp_path: Path):
    row = lines("skyrl_eval")[0] | {"score": [0.0, 0.25, 0.5], "stop_reason": "length"}
    folder = tmp_path / "dumped_evals/global_step_20_evals"
    imported = import_log([written(folder, [row])])
    log = imported.validated.log
    assert log["reward"].to_list() == [0.0, 0.75]
    assert log["truncated"].to_list() == [None, True]
    assert set(log["train_step"]) == {20}
    assert "scores of tokens are summed" in str(imported.report)


def test_a_summary_beside_the_dumps_is_passed_over_and_said(tmp_path: Path):
    written(tmp_path, lines("skyrl_eval"))
    written(tmp_path, [{"eval/all/avg_score": 0.5}], "aggregated_results.jsonl")
    raw = read([tmp_path])
    assert raw.frame.height == 9
    assert any("aggregated_results.jsonl" in notice for notice in raw.notices)


# verl-agent


def test_copied_rows_of_a_hooked_dump_are_counted_not_scored_twice(tmp_path: Path):
    rows = lines(HOOKED)
    log = log_of(written(tmp_path, [*rows, rows[0], rows[0]]))
    assert (log.height, log["copies"].to_list()) == (9, [3] + [1] * 8)
    assert set(log["reward_scale"]) == {10.0}
    assert log["success"].to_list() == [True] * 5 + [False] * 4


def hooked_dump(folder: Path, first: str, second: str) -> None:
    """What a trainer writes whose rollout loop and dump have the two patches of the document.

    The loop and the dump are those of verl-agent in outline: two rollouts of a task, the second of
    which is done after one step; rows of rollouts that are done are left out; the batch is permuted
    and filled up with a copy; the dump writes each list that has a value a row.
    """
    rng = np.random.default_rng(0)
    batch_size, rows = 2, []
    for _step in range(3):
        active = np.array([True, _step == 0])
        tensors: dict[str, Any] = {
            "uid": np.array(["u", "u"], dtype=object),
            "traj_uid": np.array(["t0", "t1"], dtype=object),
            "anchor_obs": np.array([f"room {_step}", "hall"], dtype=object),
            "rewards": np.array([np.float32(10.0 * (_step == 2)), np.float32(0.0)], dtype=object),
            "is_action_valid": np.array([np.bool_(True), np.bool_(False)], dtype=object),
        }
        batch = SimpleNamespace(non_tensor_batch=tensors)
        exec(first, {"batch": batch, "batch_size": batch_size, "_step": _step, "np": np})
        tensors["episode_rewards"] = np.array([10.0, 0.0])
        rows += [
            {name: values[at] for name, values in tensors.items()} for at in range(2) if active[at]
        ]
    taken = rng.permutation([*range(len(rows)), 0])
    columns = {name: np.array([rows[at][name] for at in taken], dtype=object) for name in rows[0]}
    batch = SimpleNamespace(non_tensor_batch=columns)
    extra: dict[str, list[Any]] = {}
    exec(second, {"batch": batch, "reward_extra_infos_dict": extra})
    dumped = {
        "input": [_FIRST.format(task="find", seen=f"page {at}") for at in taken],
        "output": [f"<think>hm</think><action>act {at}</action>" for at in taken],
        "score": [1.0] * len(taken),
        "step": [5] * len(taken),
    } | {name: values for name, values in extra.items() if len(values) == len(taken)}
    written(
        folder, [dict(zip(dumped, row, strict=True)) for row in zip(*dumped.values(), strict=True)]
    )


def test_what_the_documented_hook_writes_is_read(tmp_path: Path):
    document = (Path(__file__).parents[1] / "docs/verl_agent_hook.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", document, re.DOTALL)
    hooked_dump(tmp_path, first, second)
    imported = import_log([tmp_path])
    assert imported.report.format == "verl-agent"
    assert imported.report.rollouts == {2: 1}
    assert imported.validated.log.select(
        "group_id", "trajectory_id", "step_index", "observation", "action", "reward",
        "episode_reward", "valid_action", "success", "copies",
    ).rows() == [
        ("u", "t0", 0, "room 0", "act 0", 0.0, 10.0, True, True, 2),
        ("u", "t0", 1, "room 1", "act 2", 0.0, 10.0, True, True, 1),
        ("u", "t0", 2, "room 2", "act 3", 10.0, 10.0, True, True, 1),
        ("u", "t1", 0, "hall", "act 1", 0.0, 0.0, False, False, 1),
    ]  # fmt: skip
    # Without the second patch there are no ids, without the first the steps are not counted.
    hooked_dump(tmp_path / "bare", first, "pass")
    assert read([tmp_path / "bare"]).format == "verl-agent-bare"
    hooked_dump(tmp_path / "half", "pass", second)
    with pytest.raises(LogError, match="env_step: is missing or null"):
        read([tmp_path / "half"])


def test_rewards_of_other_environments_have_no_scale(tmp_path: Path):
    rows = [row | {"episode_rewards": 0.3} for row in lines(HOOKED)]
    assert "reward_scale" not in log_of(written(tmp_path, rows)).columns


def test_an_untagged_response_is_the_action_as_it_is(tmp_path: Path):
    row = lines(HOOKED)[0] | {"output": "I do not know", "is_action_valid": False}
    log = log_of(written(tmp_path, [row]))
    assert log.select("action", "valid_action", "thought").row(0) == ("I do not know", False, None)


def test_a_row_that_lacks_what_the_hook_adds_is_named(tmp_path: Path):
    rows = lines(HOOKED)
    del rows[4]["uid"]
    rows[5]["env_step"] = "two"
    path = written(tmp_path, rows)
    with pytest.raises(LogError) as caught:
        read([path])
    assert f"uid: is missing or null, at {path}:5" in str(caught.value)
    assert f"env_step: is not a whole number, at {path}:6" in str(caught.value)


_FIRST = """
You are an expert autonomous agent operating in the WebShop e-commerce environment.
Your task is to: {task}.
Your current observation is: {seen}.
Your admissible actions of the current situation are: [].
"""
_LATER = """
You are an expert autonomous agent operating in the WebShop e-commerce environment.
Your task is to: {task}.
Prior to this step, you have already taken {taken} step(s). Below are the most recent {length} \
observations and the corresponding actions you took: {past}
You are now at step {now} and your current observation is: {seen}.
Your admissible actions of the current situation are: [].
"""


def bare_rows(log: pl.DataFrame) -> list[tuple[dict[str, Any], str, int]]:
    """What verl-agent would have dumped of a log, with the trajectory and step of each row."""
    rows = []
    for (name,), steps in log.group_by("trajectory_id", maintain_order=True):
        past: list[tuple[str, str]] = []
        for step in steps.sort("step_index").to_dicts():
            taken = step["step_index"]
            shown = [
                f"[Observation {taken - len(past[-2:]) + at}: '{seen}', "
                f"Action {taken - len(past[-2:]) + at}: '{did}']"
                for at, (seen, did) in enumerate(past[-2:], start=1)
            ]
            prompt = (_LATER if taken else _FIRST).format(
                task=step["group_id"], seen=step["observation"], taken=taken, now=taken + 1,
                length=len(shown), past="\n".join(shown),
            )  # fmt: skip
            output = step["full_response"]
            row = {"input": f"user{prompt}assistant\n", "output": output, "step": 1}
            row["score"] = step["episode_return"]
            rows += [(row, str(name), taken)] * step["source_copies"]
            tagged = re.search(r"<action>(.*?)</action>", output.lower(), re.DOTALL)
            did = tagged[1] if tagged else output.lower()[-30:]
            past.append((step["observation"], did.strip()))
    random.Random(0).shuffle(rows)
    return rows


def test_a_bare_dump_of_real_rollouts_is_chained_and_every_doubt_is_marked(
    tmp_path: Path, shared: Path
):
    table = pl.read_parquet(shared / "data/webshop_grpo_dev.parquet")
    rows = bare_rows(table)
    imported = import_log([written(tmp_path, [row for row, _, _ in rows])])
    log = imported.validated.log
    assert (log.height, log["copies"].sum()) == (table.height, table["source_copies"].sum())
    assert imported.report.rollouts == {8: 16}
    origin = {line: (name, taken) for line, (_, name, taken) in enumerate(rows, start=1)}
    right, doubtful = set(), set()
    for (name,), rows_of in log.group_by("trajectory_id"):
        steps = rows_of.sort("step_index")
        found = [origin[line] for line in steps["source_line"]]
        assert [taken for _, taken in found] == steps["step_index"].to_list()
        right |= {name} if len({whose for whose, _ in found}) == 1 else set()
        doubtful |= {name} if steps["ambiguous"].any() else set()
    names = set(log["trajectory_id"])
    # Rollouts of one policy repeat each other, so two steps of history cannot tell all apart: 45
    # trajectories are certain, and those are right.
    assert len(names - doubtful) == 45
    assert names - doubtful <= right
    assert "81.5% follow exactly one earlier step, 18.5% one of several" in str(imported.report)


def test_bare_steps_without_their_beginning_are_left_out_and_stated(tmp_path: Path):
    steps = pl.DataFrame(
        {
            "trajectory_id": ["a"] * 3,
            "step_index": [0, 1, 2],
            "group_id": ["find it"] * 3,
            "observation": ["o", "p", "q"],
            "full_response": [f"<action>Do {n}</action>" for n in range(3)],
            "episode_return": [10.0] * 3,
            "source_copies": [1, 1, 1],
        }
    )
    rows = {taken: row for row, _, taken in bare_rows(steps)}
    whole = log_of(written(tmp_path, list(rows.values())))
    assert whole["observation"].to_list() == ["o", "p", "q"]
    assert whole["action"].to_list() == ["Do 0", "Do 1", "Do 2"]
    assert whole["reward"].to_list() == [0.0, 0.0, 10.0]
    assert set(whole["task"]) == {"find it"}
    report = import_log([written(tmp_path, [rows[0], rows[2]])]).report
    assert report.rows == 1
    assert "the steps before it are not in the file" in str(report)


def test_a_real_trajectory_dump_has_the_groups_and_outcomes_of_the_published_table(shared: Path):
    path = shared / "data/raw/verl_agent_webshop_grpo_step560.json"
    imported = import_log([path])
    log = imported.validated.log
    name = pl.col("trajectory_id").str.split("/").list.last()
    table = pl.read_parquet(shared / "data/webshop_grpo_dev.parquet").filter(
        pl.col("group_id").str.contains("step560")
    )
    ends = table.with_columns(name).sort("trajectory_id", "step_index")
    first, last = (
        log.join(side, on="trajectory_id", suffix="_table").sort("trajectory_id")
        for side in (
            ends.unique("trajectory_id", keep="first"),
            ends.unique("trajectory_id", keep="last"),
        )
    )
    assert imported.report.rollouts == {8: 4}
    assert log.height == table.height
    assert log["copies"].sum() == table["source_copies"].sum()
    assert first.select("group_id", "group_id_table").n_unique() == 4
    assert (
        first.filter(pl.col("step_index") == 0)
        .select(
            (pl.col("observation") == pl.col("observation_table")).all()
            & (pl.col("action") == pl.col("action_table")).all()
        )
        .item()
    )
    # The last step of a solved rollout is the one that was rewarded.
    solved = last.filter(pl.col("step_index") == pl.col("step_index").max().over("trajectory_id"))
    solved = solved.filter("success")
    assert solved.height == 22
    assert solved["action"].equals(solved["action_table"])
    assert log["reward"].sum() == table["reward"].sum() == 220
    assert imported.report.reconstructed == {"groups and order of steps": 1.0}


def test_a_damaged_trajectory_dump_is_named(tmp_path: Path):
    good = {"traj_id": "a", "episode_reward": 1, "steps": [{"observation": "o", "action": "x"}]}
    dump = {"global_step": 3, "trajectories": [good, {"traj_id": "b"}, 5, good | {"traj_id": None}]}
    path = tmp_path / "dump.json"
    path.write_text(json.dumps(dump))
    with pytest.raises(LogError) as caught:
        read([path])
    for line in (2, 3, 4):
        assert f"{path} record {line}" in str(caught.value)
    log = log_of(path, skip_bad=True)
    assert log.select("trajectory_id", "reward", "train_step").rows() == [("a", 1.0, 3)]
    path.write_text(json.dumps(dump)[:-20])
    with pytest.raises(LogError, match="cut off"):
        read([path])


# TRL and ART


def trl_frame(**columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "step": [1, 1],
            "prompt": ["q", "q"],
            "completion": ["a", "b"],
            **columns,
            "advantage": [0.5, -0.5],
        }
    )


def test_rewards_of_trl_are_summed_without_nan(tmp_path: Path):
    nan = float("nan")
    frame = trl_frame(correct=[1.0, nan], form=[nan, nan], tokens=[3, 4])
    frame.write_parquet(tmp_path / "completions_00001.parquet")
    imported = import_log([tmp_path])
    log = imported.validated.log
    assert log["reward"].to_list() == pytest.approx([1.0, nan], nan_ok=True)
    assert log["excluded"].to_list() == [None, "reward is not finite at step 0"]
    assert log["tokens"].to_list() == [3, 4]
    assert "the reward is the sum of ['correct', 'form']" in str(imported.report)
    mapped = import_log([tmp_path], mapping={"columns": {"reward": "form"}}).validated.log
    assert mapped["reward"].is_nan().all()
    with pytest.raises(ParameterError, match=r"names 'points', which .* does not have"):
        read([tmp_path], mapping={"columns": {"reward": "points"}})


def test_trl_without_rewards_has_none_and_says_so(tmp_path: Path):
    trl_frame().write_parquet(tmp_path / "x.parquet")
    imported = import_log([tmp_path / "x.parquet"])
    assert imported.validated.log["reward"].null_count() == 2
    assert "no column holds rewards" in str(imported.report)


def test_arguments_that_only_their_table_has_are_no_arguments(tmp_path: Path):
    def row(**arguments: Any) -> dict[str, Any]:
        call = {"function": {"name": "f", "arguments": arguments}}
        said = {"role": "assistant", "content": "", "tool_calls": [call]}
        prompt = [{"role": "user", "content": "q"}]
        return {"step": 1, "prompt": prompt, "completion": [said], "r": 1.0, "advantage": 0.0}

    # As pandas writes it, the table gives every call the arguments of all.
    path = tmp_path / "x.parquet"
    pq.write_table(pa.Table.from_pylist([row(x=1), row(y=2)]), path)
    assert "y: int64" in str(pq.read_schema(path))
    assert log_of(path)["action"].to_list() == [
        '{"arguments": {"x": 1}, "name": "f"}',
        '{"arguments": {"y": 2}, "name": "f"}',
    ]


def test_assistant_messages_that_are_not_trainable_are_history(tmp_path: Path):
    def message(role: str, content: str, trainable: bool) -> dict[str, Any]:
        return {
            "role": role,
            "content": content,
            "tool_calls": None,
            "tool_call_id": None,
            "trainable": trainable,
        }

    talk = [
        message("user", "example", False),
        message("assistant", "answer", False),
        message("user", "go", False),
        message("assistant", "done", True),
    ]
    frame = pl.read_parquet(SAMPLES / "art/trajectories/train/0012.parquet").head(2)
    rows = frame.with_columns(pl.Series("messages", [talk, talk[:2]]))
    rows.write_parquet(tmp_path / "0003.parquet")
    imported = import_log([tmp_path / "0003.parquet"])
    log = imported.validated.log
    assert log.select("observation", "action", "train_step").rows() == [("go", "done", 3)]
    assert "hold no trainable message" in str(imported.report)


# NeMo-RL, open-instruct, rLLM, AReaL


def nemo(**changes: Any) -> dict[str, Any]:
    return lines("nemo_rl")[0] | changes


def test_messages_without_roles_are_told_apart_by_the_loss_mask(tmp_path: Path):
    record = nemo(content=["Find the key.", "look drawer", "You see a key.", "take key"])
    ended = log_of(written(tmp_path, [record], "train_data_step3.jsonl"))
    assert ended["action"].to_list() == ["look drawer", "take key"]
    assert set(ended["train_step"]) == {3}
    more = {
        "token_ids": [*record["token_ids"], 9],
        "token_loss_mask": [*record["token_loss_mask"], 0],
    }
    record |= more | {"content": [*record["content"], "You hold it."]}
    for name in ("advantages", "generation_logprobs"):
        record[name] = [*record[name], 0.0]
    answered = log_of(written(tmp_path, [record | {"input_lengths": 29}]))
    assert answered["action"].to_list() == ["look drawer", "take key"]
    assert answered["next_observation"].to_list() == ["You see a key.", "You hold it."]


def test_padding_and_lists_of_one_are_read(tmp_path: Path):
    record = nemo(rewards=[1.0], sample_loss_mask=[0.0])
    pad = {"token_ids": 0, "token_loss_mask": 0, "advantages": 0.0, "generation_logprobs": 0.0}
    record |= {name: [*record[name], value, value] for name, value in pad.items()}
    log = log_of(written(tmp_path, [record]))
    assert log["response_ids"].to_list() == CANONICAL["response_ids"].to_list()[:2]
    assert log["gradient_mask"].to_list() == [False, False]


def test_text_that_does_not_fit_the_mask_gives_way_to_token_ids(tmp_path: Path):
    imported = import_log([written(tmp_path, [nemo(content=["go"])])])
    assert imported.validated.log["action"].to_list() == ["20 17 2", "22 12 2"]
    assert imported.validated.log["observation"][1] == "14 15 16 12 21 11 17 13 1"
    assert "token ids stand for the text" in str(imported.report)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"advantages": [0.0]}, "advantages has 1 values for 28 tokens"),
        ({"token_loss_mask": [0] * 28}, "counts no token"),
        ({"token_loss_mask": [2] * 28}, "is not a list of zeros and ones"),
        ({"token_ids": None}, "token_ids: is missing or null"),
    ],
)
def test_token_arrays_that_do_not_go_together_are_named(
    tmp_path: Path, change: dict[str, Any], says: str
):
    with pytest.raises(LogError) as caught:
        import_log([written(tmp_path, [nemo(**change)])])
    assert says in str(caught.value)


def test_a_response_with_tool_output_has_no_mask(tmp_path: Path):
    record = lines("open_instruct")[0] | {"request_info": {"tool_calleds": True}}
    imported = import_log([written(tmp_path, [record | {"finish_reason": "length"}])])
    log = imported.validated.log
    assert "response_mask" not in log.columns
    assert log["truncated"].to_list() == [True]
    assert "no mask tells it apart" in str(imported.report)


def rllm(**changes: Any) -> dict[str, Any]:
    path = SAMPLES / "rllm/train_step_12_epoch_0/episode_hash0_idfind-key_1.json"
    return json.loads(path.read_text()) | changes


def test_an_episode_may_stand_over_many_lines_or_on_one(tmp_path: Path):
    pretty = tmp_path / "pretty.json"
    pretty.write_text(json.dumps(rllm(), indent=2))
    other = rllm(episode_id="find-key:7")
    log = log_of(pretty, written(tmp_path, [other, rllm(episode_id="find-key:8")]))
    assert log["trajectory_id"].n_unique() == 3
    assert log["group_id"].n_unique() == 1
    pretty.write_text(json.dumps(rllm(), indent=2)[:-100])
    with pytest.raises(LogError, match=r"pretty.json \(cut off\)"):
        read([pretty])


@pytest.mark.parametrize(
    ("each", "total", "expected", "source"),
    [
        ([0.0, 0.0, 1.0], 1.0, [0.0, 0.0, 1.0], "terminal"),
        ([0.5, 0.0, 0.5], 1.0, [0.5, 0.0, 0.5], "dense"),
        ([0.5, 0.0, 0.5], 3.0, [0.0, 0.0, 3.0], "terminal"),
        ([0.5, 0.0, 0.5], None, [0.5, 0.0, 0.5], "dense"),
        ([None, None, None], None, [None, None, None], None),
    ],
)
def test_rewards_of_steps_count_where_they_add_up(
    tmp_path: Path, each: list[Any], total: Any, expected: list[Any], source: str | None
):
    episode = rllm()
    episode["trajectories"][0]["reward"] = total
    for step, reward in zip(episode["trajectories"][0]["steps"], each, strict=True):
        step["reward"] = reward
    log = log_of(written(tmp_path, [episode]))
    assert log["reward"].to_list() == expected
    assert log["reward_source"][0] == source


def test_each_agent_of_an_episode_has_its_own_group(tmp_path: Path):
    episode = rllm()
    judge = copy.deepcopy(episode["trajectories"][0]) | {"name": "judge", "uid": "j"}
    episode["trajectories"].append(judge)
    log = log_of(written(tmp_path, [episode]))
    assert set(log["group_id"]) == {"step12/find-key/agent", "step12/find-key/judge"}


def test_what_a_step_does_not_say_is_read_off_its_chat(tmp_path: Path):
    episode = rllm()
    for step in episode["trajectories"][0]["steps"]:
        step |= {"observation": None, "action": None, "model_response": ""}
        step |= {"response_ids": [5], "prompt_ids": [4], "logprobs": [-1.0], "advantage": [0.25]}
    log = log_of(written(tmp_path, [episode]))
    assert (
        log.select("observation", "action").rows()
        == CANONICAL[2:5].select("observation", "action").rows()
    )
    assert log["response_ids"].to_list() == [[5]] * 3
    assert log["logged_advantage"].to_list() == [0.25] * 3


# What may be wrong in any of them


@pytest.mark.parametrize(
    ("sample", "required"),
    [
        (PRIME, "traces"),
        ("vf_eval_0.1.14", "completion"),
        ("verl_v1", "output"),
        (HOOKED, "traj_uid"),
        (BARE, "input"),
        ("nemo_rl", "token_ids"),
        ("open_instruct", "prompt_idx"),
        ("skyrl_eval", "output_response"),
        ("areal", "task_id"),
    ],
)
def test_bad_lines_are_all_named_and_the_rest_is_read_where_asked(
    tmp_path: Path, sample: str, required: str
):
    good = lines(sample)
    lacking = {key: value for key, value in good[1].items() if key != required}
    cut = json.dumps(good[2])[:-20]
    path = written(tmp_path, [good[0], lacking, cut, [1], *good[3:]], "step_12.jsonl")
    path.write_bytes(path.read_bytes() + b'{"input": "caf\xe9"}\n')
    with pytest.raises(LogError) as caught:
        read([path])
    for line in (2, 3, 4, len(good) + 2):
        assert f"{path}:{line}" in str(caught.value)
    # Where a row is a step, a trajectory without its first one is set aside.
    imported = import_log([path], skip_bad=True, quarantine=sample == HOOKED)
    assert sum(problem.count for problem in imported.report.dropped) == 4
    assert imported.report.trajectories >= 2


@pytest.mark.parametrize(
    ("sample", "key"),
    [
        ("vf_eval_0.1.5", "reward"),
        ("verl_legacy", "score"),
        ("nemo_rl", "rewards"),
        ("open_instruct", "reward"),
        ("skyrl_eval", "score"),
        ("areal", "reward"),
    ],
)
def test_rewards_that_are_null_or_nan_exclude_and_are_counted(
    tmp_path: Path, sample: str, key: str
):
    records = lines(sample)
    records[0][key], records[3][key] = float("nan"), None
    report = import_log([written(tmp_path, records, "step_12.jsonl")]).report
    assert report.excluded == {"reward is not finite": 1, "reward is null": 1}


SAMPLE_FILES = {
    PRIME: "verifiers",
    "vf_eval_0.1.14/results.jsonl": "verifiers-legacy",
    "vf_eval_0.1.5/results.jsonl": "verifiers-legacy",
    "verl_v1/12.jsonl": "verl",
    "verl_legacy/12.jsonl": "verl",
    "verl_agent_hooked/12.jsonl": "verl-agent",
    "verl_agent_bare/12.jsonl": "verl-agent-bare",
    "nemo_rl/train_data_step12.jsonl": "nemo-rl",
    "open_instruct/demo_rollouts_000000.jsonl": "open-instruct",
    "skyrl_eval/find_key.jsonl": "skyrl",
    "areal/rollout/11/0.jsonl": "areal",
}


@pytest.mark.parametrize(("name", "form"), SAMPLE_FILES.items())
def test_a_format_is_known_by_content_behind_damage_and_in_long_lines(
    tmp_path: Path, name: str, form: str
):
    text = (SAMPLES / name).read_text()
    path = tmp_path / "log.xyz"
    path.write_text("{damaged\n" + text)
    assert read([path], skip_bad=True).format == form
    record = {"padding": "x" * 100_000} | json.loads(text.splitlines()[0])
    assert read([written(tmp_path, [record])]).format == form


@pytest.mark.parametrize("name", [*SAMPLE_FILES, "rllm", "art"])
def test_fixed_formats_take_no_mapping(name: str):
    with pytest.raises(ParameterError, match="fixed names"):
        read([SAMPLES / name], mapping={"columns": {"group_id": "x"}})


@pytest.mark.parametrize("name", ["trl", "art"])
def test_a_cut_table_is_named(tmp_path: Path, name: str):
    source = next((SAMPLES / name).rglob("*.parquet"))
    path = tmp_path / "cut.parquet"
    path.write_bytes(source.read_bytes()[:-100])
    with pytest.raises(LogError, match="cannot be read as Parquet"):
        read([path], format=name)


def test_files_of_two_trainers_in_one_folder_are_refused_by_name(tmp_path: Path):
    written(tmp_path, lines("verl_v1"), "a.jsonl")
    written(tmp_path, lines(HOOKED), "b.jsonl")
    with pytest.raises(LogError) as caught:
        read([tmp_path])
    assert "1 of format 'verl', at" in str(caught.value)
    assert "1 of format 'verl-agent', at" in str(caught.value)


_KEYS = st.text(max_size=3)
_ANY: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | _KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=4,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside a JSON value."""
    if not isinstance(value, dict | list):
        return []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    inner = list(items)
    deeper = [way for key, item in inner for way in places(item, (*path, key))]
    return [(*path, key) for key, _ in inner] + deeper


@given(st.sampled_from([*sorted(SAMPLE_FILES), "rllm"]), st.data())
def test_any_value_anywhere_is_read_or_refused_with_its_line(name: str, data: st.DataObject):
    record = rllm() if name == "rllm" else json.loads((SAMPLES / name).read_text().splitlines()[0])
    *way, key = data.draw(st.sampled_from(places(record)))
    holder = record
    for part in way:
        holder = holder[part]
    holder[key] = data.draw(_ANY)
    refused = ""
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), [record], "step_12.jsonl")
        try:
            log_of(path, format=SAMPLE_FILES.get(name, name))
        except LogError as error:
            refused = str(error)
    assert not refused or f"{path}:1" in refused
