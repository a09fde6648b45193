"""Numbers with their nouns."""

from __future__ import annotations


def number_of(count: int, noun: str) -> str:
    """A count and what is counted.

    Example:
        >>> number_of(1, "trajectory"), number_of(2000, "trajectory"), number_of(0, "group")
        ('1 trajectory', '2,000 trajectories', '0 groups')
    """
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count:,} {noun if count == 1 else plural}"
