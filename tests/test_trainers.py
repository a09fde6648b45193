"""The methods on arrays of a training loop: the same numbers as on a log, and the loops' own calls.

The code blocks of docs/training_loops.md run here against stand-ins with the signatures of verl and
TRL, and against those packages themselves where they are installed.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from logs import Described, described_logs, log, rows
from places import ROOT

from workbench.errors import LogError, MissingInputError, ParameterError, UnknownNameError
from workbench.log.steps import Steps
from workbench.methods import create
from workbench.states.space import Space
from workbench.trainers import step_advantages, token_advantages

DOCUMENT = ROOT / "docs" / "training_loops.md"


def of_log(frame: pl.DataFrame, method: str, **params: Any) -> list[float]:
    steps = Steps.from_log(frame)
    return create(method, params)(steps, Space(steps, embedder="tfidf")).advantage.tolist()


@pytest.mark.parametrize("method", ["grpo", "gigpo", "proxmo", "igpo", "grpo:verl-agent"])
@given(described=described_logs())
def test_rows_of_steps_give_what_the_log_gives(method: str, described: Described):
    frame = rows(described).sample(fraction=1.0, shuffle=True, seed=3)
    columns: dict[str, Any] = frame.to_dict(as_series=False)
    found = step_advantages(method, **columns)
    order = frame.with_columns(found=found).sort("group_id", "trajectory_id", "step_index")
    assert order["found"].to_list() == of_log(log(described), method)


def test_without_a_step_index_rows_of_a_rollout_are_in_order():
    # Interleaved rollouts: a's reward comes in its second row, so its return at the first is γ.
    found = step_advantages(
        "return-to-go", group_id="gggg", trajectory_id="abab", reward=[0, 0, 1, 0]
    )
    mean = (0.95 + 1) / 4
    assert found.tolist() == pytest.approx([0.95 - mean, -mean, 1 - mean, -mean])


def test_copied_rows_get_the_number_of_their_step():
    found = step_advantages(
        "rloo", group_id="ggg", trajectory_id="aba", step_index=[0, 0, 0], reward=[1.0, 0.0, 1.0]
    )
    assert found.tolist() == [1.0, -1.0, 1.0]


def test_a_reward_that_is_not_finite_gets_zero_and_changes_no_other():
    found = step_advantages(
        "rloo", group_id="ggg", trajectory_id="abc", reward=[1.0, float("nan"), 0.0]
    )
    assert found.tolist() == [1.0, 0.0, -1.0]


def test_further_columns_reach_the_methods():
    found = step_advantages(
        "dr-mas", group_id="gg", trajectory_id="ab", reward=[1, 0], agent_id=["x", "y"]
    )
    assert found.tolist() == [0.0, 0.0]
    with pytest.raises(MissingInputError, match="dr-mas needs `agent_id`"):
        step_advantages("dr-mas", group_id="gg", trajectory_id="ab", reward=[1, 0])


def test_states_are_asked_for_where_they_are_compared():
    with pytest.raises(MissingInputError, match="gigpo compares states"):
        step_advantages("gigpo", group_id="gg", trajectory_id="ab", reward=[1, 0])


def test_what_is_wrong_is_said():
    with pytest.raises(UnknownNameError, match="gipgo"):
        step_advantages("gipgo", group_id="g", trajectory_id="a", reward=[1])
    with pytest.raises(ParameterError, match=r"\['agents'\] are no columns"):
        step_advantages("grpo", group_id="g", trajectory_id="a", reward=[1], agents=["x"])
    with pytest.raises(LogError, match="more than one group"):
        step_advantages("grpo", group_id="gh", trajectory_id="aa", reward=[1, 0])
    with pytest.raises(ParameterError, match="either outcome"):
        token_advantages("grpo", response_mask=[[1]], group_id="g")
    with pytest.raises(ParameterError, match=r"token_reward is \(1, 2\), response_mask \(1, 1\)"):
        token_advantages("grpo", response_mask=[[1]], group_id="g", token_reward=[[1, 2]])
    with pytest.raises(ParameterError, match=r"outcome must be \(1,\), got \(2,\)"):
        token_advantages("grpo", response_mask=[[1]], group_id="g", outcome=[1, 2])
    with pytest.raises(ParameterError, match="one row per rollout"):
        token_advantages("grpo", response_mask=np.ones(3), group_id="g", outcome=[1])


#       policy, tool, policy;  policy, tool, policy, padding
MASK = [[1, 1, 0, 0, 1], [1, 0, 1, 0, 0]]


def test_each_run_of_the_policy_s_tokens_is_a_step():
    # Returns of the first with γ 1/2: 1/2, 1; of the second 0, 0: mean 3/8.
    found = token_advantages(
        "return-to-go", response_mask=MASK, group_id="gg", outcome=[1, 0], params={"gamma": 0.5}
    )
    assert found.dtype == np.float32
    first = [0.125, 0.125, 0.0, 0.0, 0.625]
    assert found.tolist() == [first, [-0.375, 0.0, -0.375, 0.0, 0.0]]


def test_rewards_of_tokens_belong_to_the_run_that_they_are_in_or_follow():
    # 1 on the first run, 2 on the tool's answer behind it, 4 on the second run: returns 7, 4.
    found = token_advantages(
        "return-to-go",
        response_mask=[[0, 1, 0, 1], [1, 1, 1, 1]],
        group_id="gh",
        token_reward=[[1, 0, 2, 4], [0, 0, 0, 0]],
        params={"gamma": 1.0},
    )
    assert found.tolist() == [[0.0, 1.5, 0.0, -1.5], [0.0] * 4]


def test_rows_of_any_lengths_are_padded():
    found = token_advantages(
        "rloo", response_mask=[[1], [1, 1, 1]], group_id=np.array([7, 7]), outcome=[1.0, 0.0]
    )
    assert found.tolist() == [[1.0, 0.0, 0.0], [-1.0, -1.0, -1.0]]


def test_a_rollout_without_tokens_counts_in_the_statistics():
    found = token_advantages(
        "rloo", response_mask=[[0, 0], [1, 1], [1, 0]], group_id="ggg", outcome=[1.0, 0.0, 0.0]
    )
    assert found.tolist() == [[0.0, 0.0], [-0.5, -0.5], [-0.5, 0.0]]


def test_tokens_between_runs_are_the_state():
    # Second steps: after 9 9 in a and b, after 8 in c. Return 1 against 0 in the one, alone in the
    # other; the first steps are all in one state, before which nothing was said.
    ids = [[1, 9, 9, 2], [1, 9, 9, 3], [4, 8, 5, 0]]
    mask = [[1, 0, 0, 1], [1, 0, 0, 1], [1, 0, 1, 0]]
    params = {"norm": "mean", "gamma": 1.0}
    given_ids: dict[str, Any] = {
        "response_mask": mask,
        "token_ids": ids,
        "group_id": "ggg",
        "outcome": [1, 0, 0],
    }
    found = token_advantages("gigpo", params=params, **given_ids)
    episode = np.array([2 / 3, -1 / 3, -1 / 3])
    assert found[:, 0].tolist() == pytest.approx((2 * episode).tolist())
    second = [found[0, 3], found[1, 3], found[2, 2]]
    assert second == pytest.approx((episode + np.array([0.5, -0.5, 0.0])).tolist())
    # Read as text, 9 9 and 8 may be the same.
    merged = token_advantages("gigpo", params=params, decode=lambda ids: "", **given_ids)
    assert merged[2, 2] == pytest.approx(-2 / 3)


def test_columns_of_rollouts_reach_their_steps():
    found = token_advantages(
        "rloo",
        response_mask=MASK + MASK,
        group_id="gggg",
        outcome=[1, 0, 0, 0],
        in_group_statistics=[True, True, False, False],
    )
    assert found[0, 0] == 1.0


def block(name: str) -> str:
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->\n```python\n(.*?)```", text, re.DOTALL)
    assert found, name
    return found.group(1)


def ran(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "documented"}
    exec(compile(block(name), str(DOCUMENT), "exec"), names)
    return names


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Puts a module with these members in the place of a package that is not installed."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = ModuleType(".".join(parts[:count]))
        monkeypatch.setitem(sys.modules, module.__name__, module)
    vars(sys.modules[name]).update(members)


def expected_of_verl(rewards: np.ndarray[Any, Any], mask: np.ndarray[Any, Any]) -> Any:
    return token_advantages(
        "igpo", response_mask=mask, token_reward=rewards, group_id="gg", params={"gamma": 0.95}
    )


def test_the_documented_estimator_runs_as_verl_calls_it(monkeypatch: pytest.MonkeyPatch):
    import torch

    registered: dict[str, Callable[..., Any]] = {}

    def register_adv_est(name: str) -> Callable[[Any], Any]:
        return lambda function: registered.setdefault(name, function)

    stand_in(monkeypatch, "verl.trainer.ppo.core_algos", register_adv_est=register_adv_est)
    ran("verl")
    mask = torch.tensor(MASK)
    rewards = torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    advantages, returns = registered["workbench"](
        token_level_rewards=rewards,
        response_mask=mask,
        config=None,
        index=np.array(["u", "u"], dtype=object),
        reward_baselines=None,
    )
    assert torch.equal(advantages, returns)
    np.testing.assert_array_equal(advantages, expected_of_verl(rewards.numpy(), mask.numpy()))
    assert advantages.abs().max() > 0.1


def test_the_documented_trainer_runs_as_trl_calls_it(monkeypatch: pytest.MonkeyPatch):
    import torch

    ids = [[1, 2, 9, 9, 3], [1, 9, 4, 0, 0]]

    class GRPOTrainer:
        """Part of TRL's trainer that the subclass uses."""

        reward_weights = torch.tensor([1.0, 1.0])
        num_generations = num_generations_eval = 2
        model = SimpleNamespace(training=True)
        accelerator = SimpleNamespace(process_index=0)

        def _calculate_rewards(
            self, inputs: Any, prompts: Any, completions: Any, completion_ids_list: Any
        ) -> torch.Tensor:
            return torch.tensor([[1.0, torch.nan], [0.0, 0.0]])

        def _generate_and_score_completions(self, inputs: Any) -> dict[str, Any]:
            self._calculate_rewards(inputs, [], [], [])
            completion = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
            return {
                "completion_ids": torch.tensor(ids),
                "completion_mask": completion,
                "tool_mask": torch.tensor([[1, 1, 0, 0, 1], [1, 0, 1, 1, 1]]),
                "advantages": torch.tensor([0.5, -0.5]),
            }

    stand_in(monkeypatch, "trl", GRPOTrainer=GRPOTrainer)
    stand_in(monkeypatch, "accelerate.utils", gather_object=lambda items: items)
    trainer = ran("trl")["StepCreditTrainer"]()
    found = trainer._generate_and_score_completions([])["advantages"]
    expected = token_advantages(
        "gigpo", response_mask=MASK, token_ids=ids, outcome=[1.0, 0.0], group_id="gg"
    )
    np.testing.assert_array_equal(found, expected)
    assert found.shape == (2, 5)


def test_the_documented_estimator_runs_as_nemo_rl_calls_it(monkeypatch: pytest.MonkeyPatch):
    import torch

    class GRPOAdvantageEstimator:
        """Class of which the document replaces a method."""

    place = "nemo_rl.algorithms.advantage_estimator"
    stand_in(monkeypatch, place, GRPOAdvantageEstimator=GRPOAdvantageEstimator)
    ran("nemo-rl")
    mask, rewards = torch.tensor([*MASK, MASK[0]]), torch.tensor([1.0, 0.0, 5.0])
    # The prompts of the first two are one; the third is another's.
    found = GRPOAdvantageEstimator().compute_advantage(  # type: ignore[attr-defined]  # set there
        prompt_ids=torch.tensor([[7, 8], [7, 8], [7, 9]]), rewards=rewards, mask=mask,
        valid_mask=torch.ones(3), repeated_batch={},
    )  # fmt: skip
    expected = token_advantages("grpo", response_mask=mask, outcome=rewards, group_id="aab")
    np.testing.assert_array_equal(found, expected)
    assert found.shape == mask.shape
    # A placeholder has no vote, so the other is alone in its group.
    one = GRPOAdvantageEstimator().compute_advantage(  # type: ignore[attr-defined]  # set there
        torch.tensor([7, 7, 9]), rewards, mask, valid_mask=torch.tensor([1.0, 0.0, 1.0])
    )
    assert one[0].tolist() == [0.0] * 5


def test_the_documented_estimator_runs_in_verl_itself():
    core_algos = pytest.importorskip("verl.trainer.ppo.core_algos")
    ray_trainer = pytest.importorskip("verl.trainer.ppo.ray_trainer")
    import torch
    from verl import DataProto

    ran("verl")
    assert core_algos.get_adv_estimator_fn("workbench").__name__ == "workbench"
    mask = torch.tensor(MASK)
    rewards = torch.tensor([[0.0, 1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    batch = DataProto.from_dict(
        tensors={"token_level_rewards": rewards, "response_mask": mask},
        non_tensors={"uid": np.array(["u", "u"], dtype=object)},
    )
    done = ray_trainer.compute_advantage(batch, adv_estimator="workbench", config={})
    expected = expected_of_verl(rewards.numpy(), mask.numpy())
    np.testing.assert_array_equal(done.batch["advantages"], expected)


def test_the_documented_trainer_trains_in_trl_itself(tmp_path: Path):
    trl = pytest.importorskip("trl")
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = {word: number for number, word in enumerate(["<pad>", "<eos>", "a", "b", "c", "d"])}
    raw = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )
    config = GPT2Config(vocab_size=6, n_positions=32, n_embd=8, n_layer=1, n_head=1)
    config.bos_token_id, config.eos_token_id, config.pad_token_id = 1, 1, 0
    seen: list[Mapping[str, Any]] = []

    def reward(completions: list[str], **_: Any) -> list[float]:
        return [float(text.count("a")) for text in completions]

    trainer: Any = ran("trl")["StepCreditTrainer"]

    class Watched(trainer):
        def _compute_loss(self, model: Any, inputs: Mapping[str, Any]) -> Any:
            seen.append(inputs)
            return super()._compute_loss(model, inputs)

    trainer = Watched(
        model=GPT2LMHeadModel(config),
        reward_funcs=reward,
        processing_class=tokenizer,
        train_dataset=Dataset.from_dict({"prompt": ["a b", "c d"]}),
        args=trl.GRPOConfig(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            num_generations=4,
            max_completion_length=8,
            max_steps=1,
            report_to=[],
            use_cpu=True,
            seed=1,
        ),
    )
    trainer.train()
    (inputs,) = seen
    assert inputs["advantages"].shape == inputs["completion_ids"].shape
    # One run a rollout and one first state, so each gets GRPO's number twice: once an episode, once
    # a step, the return of the only step being the reward.
    mask = inputs["completion_mask"]
    expected = token_advantages(
        "grpo", response_mask=mask, outcome=trainer.outcome, group_id="gggg"
    )
    np.testing.assert_allclose(inputs["advantages"], 2 * expected, atol=1e-5)
    assert inspect.getmro(Watched)[2] is trl.GRPOTrainer
