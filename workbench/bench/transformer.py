"""A tiny transformer that scores the admissible actions of a decision; torch on one thread."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from workbench.bench.policies import shared_words
from workbench.bench.prompts import Decision
from workbench.log.steps import Index, Real

BUCKETS, WIDTH, HEADS, LAYERS, POSITIONS = 1024, 32, 2, 2, 64
EARLIER = 4
"""Number of the latest actions that the policy reads."""

AT_ONCE = 256
"""Decisions of one forward pass."""

_WORD = re.compile(r"[\w+]+")


class TransformerPolicy:
    """Task, latest actions, observation and options as one sequence, a score at each option.

    A word is a token: the sum of the embeddings of its bucket (CRC-32), of its place in its text
    and of what the text is. The tokens of an option are summed into one, so that the options of a
    decision have no order. π is the softmax of the scores.

    Args:
        seed: Of the initial parameters.
    """

    def __init__(self, seed: int) -> None:
        # Sums come out alike on any number of cores.
        torch.set_num_threads(1)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._network = _Network()
        self.restart(0.0)

    def restart(self, rate: float) -> None:
        """Forget the state of the optimiser and go on at another rate."""
        self._optimiser = torch.optim.Adam(self._network.parameters(), lr=rate, maximize=True)

    def probabilities(self, decisions: Sequence[Decision]) -> Real:
        """π of every option of every decision, one after the other. (P,) float64."""
        with torch.no_grad():
            parts = [
                scores.double().softmax(dim=1)[offered]
                for scores, offered in self._scored(decisions)
            ]
        return torch.cat(parts).numpy()

    def learn(self, decisions: Sequence[Decision], chosen: Index, weight: Real) -> None:
        """Take one Adam step up the gradient; weights that are all 0 leave the policy as it is."""
        if not weight.any():
            return
        self._optimiser.zero_grad()
        first = 0
        for scores, _ in self._scored(decisions):
            here = slice(first, first + len(scores))
            answer = torch.from_numpy(chosen[here])[:, None]
            taken = scores.log_softmax(dim=1).gather(1, answer)[:, 0]
            (torch.from_numpy(weight[here]).float() * taken).sum().backward()  # type: ignore[no-untyped-call]
            first = here.stop
        self._optimiser.step()

    def _scored(self, decisions: Sequence[Decision]) -> Iterator[tuple[Tensor, Tensor]]:
        """Scores of the options of some decisions at a time, −∞ where there is none; and where."""
        for first in range(0, len(decisions), AT_ONCE):
            part = decisions[first : first + AT_ONCE]
            offered = _padded([torch.ones(len(each.options)) for each in part]) > 0
            scores = self._network(_context(part), _options(part, offered.shape[1]), offered)
            yield scores.masked_fill(~offered, -torch.inf), offered


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        # Bucket 0 is padding; texts are the task, the observation, an option, and actions by age.
        self.words = nn.Embedding(BUCKETS + 1, WIDTH)
        self.places = nn.Embedding(POSITIONS, WIDTH)
        self.texts = nn.Embedding(3 + EARLIER, WIDTH)
        layer = nn.TransformerEncoderLayer(
            WIDTH, HEADS, 2 * WIDTH, dropout=0.0, batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, LAYERS, enable_nested_tensor=False)
        self.score = nn.Linear(WIDTH, 1, bias=False)

    def forward(self, context: Tensor, options: Tensor, offered: Tensor) -> Tensor:
        """Scores. context (D, L, 3), options (D, K, L', 3), offered (D, K) -> (D, K)."""
        read = context[..., 0] > 0
        tokens = torch.cat([self._embedded(context), self._embedded(options).sum(dim=2)], dim=1)
        padding = ~torch.cat([read, offered], dim=1)
        found = self.encoder(tokens, src_key_padding_mask=padding)
        scores: Tensor = self.score(found[:, context.shape[1] :])[..., 0]
        return scores

    def _embedded(self, tokens: Tensor) -> Tensor:
        word, place, text = tokens.unbind(dim=-1)
        whole: Tensor = self.words(word) + self.places(place) + self.texts(text)
        return whole * (word > 0)[..., None]


def _context(decisions: Sequence[Decision]) -> Tensor:
    """Tokens of what is read. (D, L, 3) int64: bucket, place and text of each."""
    rows = []
    for each in decisions:
        latest = each.earlier[: -EARLIER - 1 : -1]
        texts = [_tokens(each.task, 0), _tokens(each.observation, 1)]
        texts += [_tokens(action, 3 + age) for age, action in enumerate(latest)]
        rows.append(torch.cat(texts))
    return _padded(rows)


def _options(decisions: Sequence[Decision], most: int) -> Tensor:
    """Tokens of the options. (D, K, L', 3) int64."""
    texts = [
        _tokens(f"{text} {shared_words(each.task, text)}", 2)
        for each in decisions
        for text in each.options
    ]
    flat = _padded(texts)
    found = torch.zeros((len(decisions), most, *flat.shape[1:]), dtype=torch.int64)
    size = np.array([len(each.options) for each in decisions])
    row = np.repeat(np.arange(len(decisions)), size)
    found[row, np.arange(len(row)) - np.repeat(np.cumsum(size) - size, size)] = flat
    return found


@lru_cache(maxsize=100_000)
def _tokens(text: str, kind: int) -> Tensor:
    words = _WORD.findall(text.lower())
    rows = [
        (1 + zlib.crc32(word.encode()) % BUCKETS, min(place, POSITIONS - 1), kind)
        for place, word in enumerate(words)
    ]
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, 3)


def _padded(rows: list[Tensor]) -> Tensor:
    padded: Tensor = pad_sequence(rows, batch_first=True)
    return padded
