"""Saying the same thing in other words.

An observation is a sequence of clauses, each a kind with its slots. A lexicon has several phrases
for every kind: the first is the plain one, the others are synonyms. Plain wording is a function
of the clauses alone, so equal clauses give equal texts; a paraphrase draws a phrase for every
clause, an order for every list, an opener and a closer, which makes hundreds of texts of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
