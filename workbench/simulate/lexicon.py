"""Saying the same thing in other words.

An observation is a sequence of clauses, each a kind with its slots. A lexicon has several phrases
for every kind: the first is the plain one, the others are synonyms. Plain wording is a function
of the clauses alone, so equal clauses give equal texts; a paraphrase draws a phrase for every
clause, an order for every list, an opener and a closer, which makes hundreds of texts of one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

Slots = Mapping[str, str | Sequence[str]]
Clause = tuple[str, Slots]


@dataclass(frozen=True, kw_only=True)
class Lexicon:
    """Phrases by kind of clause, and what may stand around a paraphrase.

    Args:
        phrases: Format strings for every kind, the plain one first.
        openers: Put before a paraphrase; none is empty, so that it never equals the plain text.
        closers: Put after a paraphrase.
        separator: Between clauses.
    """

    phrases: Mapping[str, Sequence[str]]
    openers: Sequence[str]
    closers: Sequence[str]
    separator: str = " "

    def plain(self, clauses: Sequence[Clause]) -> str:
        """The one plain wording of some clauses."""
        return self.separator.join(
            self.phrases[kind][0].format(**{name: listed(slot) for name, slot in slots.items()})
            for kind, slots in clauses
        )

    def paraphrase(self, clauses: Sequence[Clause], rng: np.random.Generator) -> str:
        """One of the other wordings of some clauses, drawn at random."""
        texts = [_drawn(self.openers, rng)]
        for kind, slots in clauses:
            words = {
                name: slot if isinstance(slot, str) else listed(rng.permutation(slot).tolist())
                for name, slot in slots.items()
            }
            texts.append(_drawn(self.phrases[kind], rng).format(**words))
        texts.append(_drawn(self.closers, rng))
        return self.separator.join(text for text in texts if text)


@dataclass(frozen=True, kw_only=True)
class Speaker(ABC):
    """A narrator that says clauses, plainly or in other words.

    Args:
        paraphrase: Probability that an observation is reworded, in [0, 1].
    """

    lexicon: ClassVar[Lexicon]
    paraphrase: float
    _plain: dict[tuple[int, int], str] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def opening(self, rng: np.random.Generator) -> str:
        """The first observation of an episode."""
        reworded = rng.random() < self.paraphrase
        clauses = self._opening()
        return self.lexicon.paraphrase(clauses, rng) if reworded else self.lexicon.plain(clauses)

    def feedback(self, pair: int, outcome: int, rng: np.random.Generator) -> str:
        """The observation after a pair of the model had one of its outcomes."""
        if rng.random() < self.paraphrase:
            return self.lexicon.paraphrase(self._feedback(pair, outcome), rng)
        plain = self._plain.get((pair, outcome))
        if plain is None:
            plain = self.lexicon.plain(self._feedback(pair, outcome))
            self._plain[pair, outcome] = plain
        return plain

    @abstractmethod
    def _opening(self) -> Sequence[Clause]: ...

    @abstractmethod
    def _feedback(self, pair: int, outcome: int) -> Sequence[Clause]: ...


def listed(slot: str | Sequence[str]) -> str:
    """Names as an enumeration: "a mug 1, a plate 1, and a pan 1"; "nothing" where there are none.

    A string is returned as it is.
    """
    if isinstance(slot, str):
        return slot
    names = [f"an {name}" if name[0] in "aeiou" else f"a {name}" for name in slot]
    if not names:
        return "nothing"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])}, and {names[-1]}"


def _drawn(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
