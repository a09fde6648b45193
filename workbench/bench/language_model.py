"""A language model that scores the admissible actions of a decision in its own words.

The options of a decision lie behind its prompt in one sequence, where none sees another: one
forward pass scores them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence

from workbench.bench.prompts import Decision
from workbench.log.steps import Index, Real

EARLIER = 4
"""Number of the latest actions that the prompt has."""

AT_ONCE = {"cuda": 64, "cpu": 8}
"""Decisions of one forward pass, by device: some 4,000 rows of logits on a GPU."""


class LanguageModelPolicy:
    """Softmax over the admissible actions of what a causal language model thinks of each.

        s(i, a) = Σ_t log p(a_t | prompt_i, a_<t)        a_t the tokens of a and the end of the turn
        π(a | i) = exp s(i, a) / Σ_b exp s(i, b)

    The prompt is the model's own chat: the task as system, the latest actions and the observation
    as user. The options are not listed. On a GPU the layers compute in bfloat16, parameters and
    scores are float32, and two runs may differ in the last digits; on a CPU all is float32 on one
    thread.

    Args:
        model: A causal language model of transformers without dropout, which is trained in place.
        tokenizer: Its tokenizer with a chat template; a reply ends at its `eos_token`.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        # Sums come out alike on any number of cores.
        torch.set_num_threads(1)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device)
        self._tokenizer = tokenizer
        self.restart(0.0)

    def restart(self, rate: float) -> None:
        """Forget the state of the optimiser and go on at another rate."""
        self._optimiser = torch.optim.Adam(self._model.parameters(), lr=rate, maximize=True)

    def probabilities(self, decisions: Sequence[Decision]) -> Real:
        """π of every option of every decision, one after the other. (P,) float64."""
        with torch.no_grad():
            parts = [
                scores.softmax(dim=1)[scores > -torch.inf].cpu()
                for scores in self._scored(decisions)
            ]
        return np.asarray(torch.cat(parts).numpy(), dtype=np.float64)

    def learn(self, decisions: Sequence[Decision], chosen: Index, weight: Real) -> None:
        """Take one Adam step up the gradient; weights that are all 0 leave the policy as it is."""
        counts = np.flatnonzero(weight)
        if not len(counts):
            return
        self._optimiser.zero_grad()
        first = 0
        for scores in self._scored([decisions[number] for number in counts.tolist()]):
            here = counts[first : first + len(scores)]
            answer = torch.from_numpy(chosen[here])[:, None].to(self._device)
            taken = scores.log_softmax(dim=1).gather(1, answer)[:, 0]
            (torch.from_numpy(weight[here]).to(self._device) * taken).sum().backward()  # type: ignore[no-untyped-call]
            first += len(scores)
        self._optimiser.step()

    def _scored(self, decisions: Sequence[Decision]) -> Iterator[Tensor]:
        """Scores of the options of some decisions at a time, −∞ where there is none. float64."""
        size = AT_ONCE[self._device.type]
        for first in range(0, len(decisions), size):
            part = [self._packed(each) for each in decisions[first : first + size]]
            score = self._summed(part)
            yield pad_sequence(
                list(torch.split(score, [each.options for each in part])),
                batch_first=True,
                padding_value=-torch.inf,
            )

    def _summed(self, part: Sequence[_Packed]) -> Tensor:
        """The s of every option of some decisions, one after the other. (P,) float64."""
        width = max(len(each.ids) for each in part)
        ids, places = (
            pad_sequence([getattr(each, name) for each in part], batch_first=True).to(self._device)
            for name in ("ids", "places")
        )
        # Padding sees itself alone, so that no row is without anything to attend to.
        seen = torch.eye(width, dtype=torch.bool).repeat(len(part), 1, 1)
        for row, each in enumerate(part):
            seen[row, : len(each.ids), : len(each.ids)] = each.seen
        # Token t of an option is predicted where its predecessor stands.
        before = torch.cat([each.before + row * width for row, each in enumerate(part)])
        target = torch.cat([each.target for each in part]).to(self._device)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda"):
            hidden = self._model.model(
                input_ids=ids,
                attention_mask=seen[:, None].to(self._device),
                position_ids=places,
                use_cache=False,
            ).last_hidden_state
        # Scores are sums of many logits and differ by little: they are made in float32.
        logits = self._model.lm_head(hidden.flatten(0, 1)[before.to(self._device)].float())
        loss = cross_entropy(logits, target, reduction="none").double()
        sizes = [length for each in part for length in each.lengths]
        owner = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        score = torch.zeros(len(sizes), dtype=torch.float64, device=self._device)
        return score.index_add(0, owner.to(self._device), -loss)

    def _packed(self, decision: Decision) -> _Packed:
        prompt = self._ids(self._prompt(decision))
        end = self._tokenizer.eos_token_id
        return _Packed.of(prompt, [[*self._ids(text), end] for text in decision.options])

    def _prompt(self, decision: Decision) -> str:
        done = "; ".join(decision.earlier[-EARLIER:]) or "nothing"
        messages = [
            {"role": "system", "content": decision.task},
            {"role": "user", "content": f"Done: {done}\n{decision.observation}"},
        ]
        return str(
            self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        )

    def _ids(self, text: str) -> list[int]:
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])


@dataclass(frozen=True, kw_only=True)
class _Packed:
    """A prompt and its options as one sequence of L tokens, M of them the options'.

    Attributes:
        ids: (L,) int64.
        places: Position of each token, as if its option stood alone behind the prompt. (L,)
        seen: Whether the token of a row attends to that of a column. (L, L) bool.
        before: Where the predecessor of each token of an option stands. (M,)
        target: The tokens of the options. (M,)
        lengths: Tokens of each option.
    """

    ids: Tensor
    places: Tensor
    seen: Tensor
    before: Tensor
    target: Tensor
    lengths: Sequence[int]

    @property
    def options(self) -> int:
        return len(self.lengths)

    @classmethod
    def of(cls, prompt: Sequence[int], options: Sequence[Sequence[int]]) -> _Packed:
        # The last token of an option predicts nothing and need not be read.
        read = [option[:-1] for option in options]
        begins = len(prompt) + np.cumsum([0, *map(len, read)])
        ids = torch.tensor([*prompt, *(token for option in read for token in option)])
        owner = torch.zeros(len(ids), dtype=torch.int64)
        places = torch.arange(len(ids))
        before: list[int] = []
        for number, option in enumerate(read):
            here = slice(int(begins[number]), int(begins[number + 1]))
            owner[here] = number + 1
            places[here] = torch.arange(len(prompt), len(prompt) + len(option))
            before += [len(prompt) - 1, *range(here.start, here.stop)]
        own = (owner[:, None] == owner[None, :]) | (owner[None, :] == 0)
        return cls(
            ids=ids,
            places=places,
            seen=own & torch.ones(len(ids), len(ids), dtype=torch.bool).tril(),
            before=torch.tensor(before),
            target=torch.tensor([token for option in options for token in option]),
            lengths=[len(option) for option in options],
        )
