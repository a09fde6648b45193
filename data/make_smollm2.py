"""Makes smollm2.parquet: rollouts of a real language model, with all that a trainer needs of them.

    python data/make_smollm2.py [FILE] [--policy FOLDER]

SmolLM2-135M-Instruct imitates some episodes of the household by an expert that knows where
everything is, until it plays well enough that rollouts of one task differ. Then it plays tasks that
it has not seen, and what it read and wrote is kept: token ids, and the log-probability of every
token that it sampled, under the whole vocabulary at temperature 1. It is not shown which actions
are admissible; a reply that is none is answered like an action without effect.

One thread, float32 while playing, fixed seeds: the same machine and the same versions make the same
file. Imitation computes in bfloat16, which another processor may round in another way. With
--policy the weights that played are kept, half a gigabyte, for `examples/train_trl.py`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch.nn.utils.rnn import pad_sequence

from workbench.bench.episodes import Episode, play
from workbench.bench.smollm2 import END_OF_TURN, MODEL, load_model, load_tokenizer
from workbench.simulate import END, Task, drawn_tasks
from workbench.simulate.base import SUCCESS
from workbench.simulate.household import STUDY, Household

FILE = "smollm2.parquet"
SEED = 0
TASKS, ROLLOUTS, HORIZON = 16, 8, 16
SHOWN, PASSES, RATE, AT_ONCE = 64, 3, 2e-4, 4
"""Imitation: episodes, passes over them, AdamW's rate at first (it falls to 0), episodes a step."""

LONGEST_REPLY, TOGETHER = 14, 32
"""Tokens after which a reply is cut, and rollouts that are played side by side."""

NO_EFFECT = "Nothing happens."


def expert_world() -> Household:
    """The benchmark's household with a shorter horizon; its own policy knows the shortest way."""
    return Household(**{**STUDY.base, "horizon": HORIZON, "skill": 1.0, "skill_spread": 0.0})  # type: ignore[arg-type]


@dataclass(kw_only=True)
class Rollout:
    """A rollout, under way or over.

    Args:
        name: Of the trajectory.
        task: Its task.
        state: Latent state; `END` where the task has ended it.
        observation: What the model reads next.
        words: For wording.
        moves: For outcomes.
        messages: The conversation so far.
        tokens: Its ids.
        rows: A row of the log for each reply.
    """

    name: str
    task: Task
    state: int
    observation: str
    words: np.random.Generator
    moves: np.random.Generator
    messages: list[dict[str, str]] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)


class Chat:
    """The model's chat template, turn by turn: what it adds to a conversation, as token ids."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.end: int = tokenizer.convert_tokens_to_ids(END_OF_TURN)

    def rendered(self, messages: Sequence[dict[str, str]]) -> str:
        """A prompt as text, up to where the reply begins."""
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        )

    def added(self, messages: Sequence[dict[str, str]]) -> list[int]:
        """Ids of what a prompt has after the end of the reply before."""
        text = self.rendered(messages)
        replies = [n for n, message in enumerate(messages) if message["role"] == "assistant"]
        if replies:
            before = messages[: replies[-1]]
            known = f"{self.rendered(before)}{messages[replies[-1]]['content']}{END_OF_TURN}"
            assert text.startswith(known)
            text = text.removeprefix(known)
        return self.ids(text)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text."""
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def asked(rollout: Rollout) -> list[dict[str, str]]:
    """The messages that are new to the model: the observation, at first behind the task."""
    new = [{"role": "user", "content": rollout.observation}]
    return new if rollout.messages else [{"role": "system", "content": rollout.task.text}, *new]


def demonstration(chat: Chat, task: Task, episode: Episode) -> tuple[list[int], list[int]]:
    """Token ids of an episode, and 1 where the expert acts."""
    ids: list[int] = []
    mask: list[int] = []
    messages = [{"role": "system", "content": task.text}]
    for decision, option in zip(episode.decisions, episode.chosen, strict=True):
        messages.append({"role": "user", "content": decision.observation})
        prompt = chat.added(messages)
        reply = [*chat.ids(decision.options[option]), chat.end]
        ids += prompt + reply
        mask += [0] * len(prompt) + [1] * len(reply)
        messages.append({"role": "assistant", "content": decision.options[option]})
    return ids, mask


def imitate(model: Any, shown: Sequence[tuple[list[int], list[int]]]) -> None:
    """AdamW on the mean cross-entropy of what the expert does."""
    rng = np.random.default_rng([SEED, 5])
    updates = PASSES * (len(shown) // AT_ONCE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.0, updates)
    for number in range(PASSES):
        losses = []
        for drawn in rng.permutation(len(shown)).reshape(-1, AT_ONCE):
            ids, mask = (
                pad_sequence([torch.tensor(shown[n][at]) for n in drawn], batch_first=True)
                for at in (0, 1)
            )
            with torch.autocast("cpu", torch.bfloat16):
                hidden = model.model(ids, use_cache=False).last_hidden_state[:, :-1]
                logits = model.lm_head(hidden[mask[:, 1:] == 1])
            loss = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][mask[:, 1:] == 1])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            optimiser.zero_grad()
            schedule.step()
            losses.append(float(loss.detach()))
        say(f"imitation, pass {number + 1}: cross-entropy of a token {np.mean(losses):.3f}")


class Player:
    """The model and what it remembers of rollouts that are played side by side.

    What a turn adds is padded on the left, so that every row's last token is at the same place.
    """

    def __init__(self, model: Any, chat: Chat, generator: torch.Generator) -> None:
        self._model, self._chat, self._generator = model, chat, generator
        self._memory: Any = None
        self._mask = torch.zeros(0, 0, dtype=torch.long)

    def keep(self, rows: list[int]) -> None:
        """Forgets the rollouts that are over."""
        self._mask = self._mask[rows]
        self._memory.batch_select_indices(torch.tensor(rows))

    def read(self, added: Sequence[Sequence[int]]) -> torch.Tensor:
        """Log-probabilities of the token after what each row has read. (B, V) float32."""
        from transformers import DynamicCache

        if self._memory is None:
            self._memory = DynamicCache()
            self._mask = torch.zeros(len(added), 0, dtype=torch.long)
        width = max(map(len, added))
        ids = torch.full((len(added), width), self._chat.end)
        new = torch.zeros_like(ids)
        for row, tokens in enumerate(added):
            if tokens:
                ids[row, -len(tokens) :] = torch.tensor(tokens)
                new[row, -len(tokens) :] = 1
        self._mask = torch.cat([self._mask, new], dim=1)
        places = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -width:]
        out = self._model(
            input_ids=ids, attention_mask=self._mask, position_ids=places,
            past_key_values=self._memory, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        return torch.log_softmax(out.logits[:, -1].float(), dim=-1)

    def replies(self, prompts: Sequence[Sequence[int]]) -> list[tuple[list[int], list[float]]]:
        """A reply to each prompt: its tokens, the last one not read yet, and their log π."""
        found: list[tuple[list[int], list[float]]] = [([], []) for _ in prompts]
        after = self.read(prompts)
        going = list(range(len(prompts)))
        while True:
            drawn = torch.multinomial(after.exp(), 1, generator=self._generator)[:, 0]
            for row in going:
                token = int(drawn[row])
                found[row][0].append(token)
                found[row][1].append(float(after[row, token]))
            going = [
                row
                for row in going
                if found[row][0][-1] != self._chat.end and len(found[row][0]) < LONGEST_REPLY
            ]
            if not going:
                return found
            after = self.read(
                [found[row][0][-1:] if row in going else [] for row in range(len(found))]
            )


def move(rollout: Rollout, action: str) -> tuple[bool, float]:
    """Lets an action have its outcome: whether it was admissible, and what was paid."""
    model = rollout.task.model
    pairs = model.pairs_of(rollout.state)
    names = [rollout.task.actions[number] for number in model.action[pairs]]
    uniform = rollout.moves.random()
    if action not in names:
        rollout.observation = NO_EFFECT
        return False, 0.0
    pair = pairs.start + names.index(action)
    running = model.probability[pair].cumsum()
    outcome = min(int(running.searchsorted(uniform, side="right")), len(running) - 1)
    rollout.observation = rollout.task.narrator.feedback(pair, outcome, rollout.words)
    rollout.state = int(model.next_state[pair, outcome])
    return True, float(model.reward[pair, outcome])


def play_side_by_side(rollouts: Sequence[Rollout], player: Player, chat: Chat) -> None:
    """Plays some rollouts to their end or to the horizon."""
    playing = list(rollouts)
    unread: list[list[int]] = [[] for _ in playing]
    for _ in range(HORIZON):
        prompts = []
        for each, last in zip(playing, unread, strict=True):
            new = asked(each)
            added = chat.added([*each.messages, *new])
            # A reply that was cut has no end of its own; the template gives it one.
            if last and last[-1] != chat.end:
                added = [chat.end, *added]
            each.messages += new
            each.tokens += added
            prompts.append(last + added)
        for each, (tokens, logprobs) in zip(playing, player.replies(prompts), strict=True):
            answer(each, chat, tokens, logprobs)
        over = [each.state == END for each in playing]
        kept = [row for row in range(len(playing)) if not over[row]]
        if not kept:
            return
        if any(over):
            player.keep(kept)
        playing = [playing[row] for row in kept]
        unread = [each.rows[-1]["response_ids"][-1:] for each in playing]


def answer(rollout: Rollout, chat: Chat, tokens: list[int], logprobs: list[float]) -> None:
    """Takes a reply down as a row, and lets it have its outcome."""
    ended = tokens[-1] == chat.end
    text = chat.tokenizer.decode(tokens[:-1] if ended else tokens)
    row = {
        "step_index": len(rollout.rows),
        "observation": rollout.observation,
        "action": text,
        "finish_reason": "stop" if ended else "length",
        "prompt_ids": list(rollout.tokens),
        "response_ids": tokens,
        "response_mask": [1] * len(tokens),
        "response_logprobs": logprobs,
        "response_tokens": len(tokens),
    }
    rollout.messages.append({"role": "assistant", "content": text})
    # What is new at a step: the observation and the reply, at first behind the task.
    row["messages"] = json.dumps(rollout.messages[-2 if rollout.rows else -3 :])
    rollout.tokens += tokens
    row["valid_action"], row["reward"] = move(rollout, text)
    row["next_observation"] = rollout.observation
    rollout.rows.append(row)


def log_of(rollouts: Sequence[Rollout]) -> pl.DataFrame:
    """The step log."""
    rows = []
    for rollout in rollouts:
        success = sum(row["reward"] for row in rollout.rows) >= SUCCESS
        group = rollout.name.rpartition("/")[0]
        for row in rollout.rows:
            last = row is rollout.rows[-1]
            rows.append(
                {
                    "group_id": group,
                    "trajectory_id": rollout.name,
                    "reward_source": "terminal",
                    "success": success,
                    "task": rollout.task.text,
                    "done": last,
                    "truncated": last and rollout.state != END,
                    **row,
                }
            )
    return pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.col("step_index", "response_tokens").cast(pl.Int32),
        pl.col("prompt_ids", "response_ids").cast(pl.List(pl.Int32)),
        pl.col("response_mask").cast(pl.List(pl.Int8)),
        pl.col("response_logprobs").cast(pl.List(pl.Float32)),
        run_id=pl.lit(f"smollm2-s{SEED}"),
        policy_version=pl.lit(0, dtype=pl.Int64),
        model=pl.lit(f"{MODEL} after imitation"),
        tokenizer=pl.lit(MODEL),
    )


def started(tasks: Sequence[Task]) -> Iterator[Rollout]:
    """The rollouts of all tasks before their first step; each has random streams of its own."""
    for number, task in enumerate(tasks):
        for rollout in range(ROLLOUTS):
            words, moves = np.random.default_rng([SEED, 6, number, rollout]).spawn(2)
            yield Rollout(
                name=f"smollm2/task-{number:02}/rollout-{rollout}",
                task=task,
                state=task.start,
                observation=task.narrator.opening(words),
                words=words,
                moves=moves,
            )


def smollm2(policy: Path | None = None) -> pl.DataFrame:
    """The whole log.

    Args:
        policy: Where the weights that played are kept, if anywhere.
    """
    torch.set_num_threads(1)
    chat, model = Chat(load_tokenizer()), load_model()
    say("loaded")
    tasks = list(drawn_tasks(expert_world(), SHOWN + TASKS, SEED))
    shown = play(tasks[:SHOWN], None, episodes=1, horizon=HORIZON, seed=[SEED, 4])
    demonstrations = [demonstration(chat, tasks[each.task], each) for each in shown]
    steps = sum(len(each.rewards) for each in shown)
    say(f"{steps} steps of the expert, {sum(len(ids) for ids, _ in demonstrations)} tokens")
    imitate(model.train(), demonstrations)
    model.eval()
    if policy is not None:
        model.save_pretrained(policy)
        chat.tokenizer.save_pretrained(policy)
    rollouts = list(started(tasks[SHOWN:]))
    with torch.no_grad():
        for first in range(0, len(rollouts), TOGETHER):
            generator = torch.Generator().manual_seed(SEED + 1 + first)
            some = rollouts[first : first + TOGETHER]
            play_side_by_side(some, Player(model, chat, generator), chat)
            tokens = sum(len(each.tokens) for each in some)
            say(f"rollouts {first} to {first + len(some) - 1}: {tokens} tokens")
    return log_of(rollouts)


def say(text: str) -> None:
    """Progress, with the seconds since the start."""
    print(f"{time.process_time():7.0f} s  {text}", file=sys.stderr, flush=True)


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, nargs="?", default=Path(__file__).with_name(FILE))
    parser.add_argument("--policy", type=Path, metavar="FOLDER")
    given = parser.parse_args()
    log = smollm2(given.policy)
    log.write_parquet(given.file, compression="zstd", compression_level=19)
    rewards = log.group_by("group_id", "trajectory_id").agg(pl.col("reward").sum())
    live = rewards.group_by("group_id").agg(pl.col("reward").n_unique() > 1)["reward"].sum()
    size = given.file.stat().st_size / 1e6
    say(f"{log.height} steps, {live} of {TASKS} groups live, {size:.2f} MB")


if __name__ == "__main__":
    main()
