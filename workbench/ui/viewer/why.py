"""Explanation of a step's credit, as the panel next to the viewer reads it: a dict for JSON."""

from __future__ import annotations

from typing import Any

import polars as pl

from workbench.analysis.peers import PeerRows, difference, peer_rows
from workbench.analysis.rollouts import Place, fact_rows, outcome, scored_number, sentence
from workbench.log.credit import Credit, Explanation
from workbench.ui.hints import in_words
from workbench.ui.viewer.turns import done

TERMS = {"episode": "The whole rollout", "step": "This step"}
_PARTS = {("episode", "score"): "reward", ("episode", "baseline"): "baseline"}
_PARTS |= {("step", "score"): "return", ("step", "baseline"): "baseline"}
_TEXT, _COMPARED, _TOP = 300, 4000, 12


def why(place: Place, method: str, credit: Credit, log: pl.DataFrame) -> dict[str, Any]:
    """Explanation of a scored step's advantage.

    Returns:
        Its parts in order, the terms in words, their peers with what differs in their texts, and
        every number of each term.
    """
    found = credit.explain(scored_number(credit, place))
    facts = fact_rows(found.facts)
    return {
        "method": method,
        "trajectory": place.step[0],
        "step": place.index,
        "advantage": found.advantage,
        "parts": [
            {
                "label": f"{part.term} {_PARTS.get((part.term, part.name), part.name)}",
                "value": part.value,
            }
            for part in found.parts
        ],
        "terms": [
            {
                "name": TERMS.get(term, term),
                "value": value,
                "sentence": sentence(term, found.facts[term]),
                "peers": _peers(place, found, term, log),
            }
            for term, value in found.terms.items()
        ],
        "notes": [in_words(note) for note in credit.notes],
        "facts": {"terms": facts.columns[1:], "rows": [list(row) for row in facts.iter_rows()]},
    }


def nearest(found: pl.DataFrame) -> list[dict[str, Any]]:
    """The nearest states of a log, from `Space.nearest`, each with the first step in it."""
    return [
        {
            "target": [row["trajectory_id"], row["step_index"]],
            "similarity": row["similarity"],
            "steps": row["steps"],
            "groups": row["groups"],
            "reward": row["mean_episode_reward"],
            "text": row["text"][:_TEXT],
        }
        for row in found.iter_rows(named=True)
    ]


def _peers(place: Place, found: Explanation, term: str, log: pl.DataFrame) -> dict[str, Any]:
    """The members of a term's baseline, heaviest first."""
    peers = peer_rows(found, term, _TOP)
    own = log["observation"][place.log_row]
    rows = []
    for row, target in zip(peers.rows.iter_rows(named=True), peers.targets, strict=True):
        whole = row["step"] is None
        rows.append({**row, "target": list(target), **_told(place, target, own, log, whole=whole)})
    return {"count": peers.count, "rest": peers.rest, "of": _kind(peers), "rows": rows}


def _kind(peers: PeerRows) -> str:
    whole = peers.rows["step"].null_count() == peers.rows.height
    return "rollout" if whole else "step"


def _told(
    place: Place, target: tuple[str, int], own: str, log: pl.DataFrame, *, whole: bool
) -> dict[str, Any]:
    """End of a peer's rollout, and for a step its different observation and its action."""
    other = place.rollouts.place(target)
    number, _ = place.rollouts.numbers[other.step[0]]
    told: dict[str, Any] = {"outcome": outcome(other.trajectory["success"]), "number": number}
    if whole:
        return {**told, "length": other.trajectory["length"]}
    seen, acted = log["observation"][other.log_row], log["action"][other.log_row]
    told["action"] = done(acted)[:_TEXT]
    if seen != own:
        told["differs"] = _differs(own, seen)
    return told


def _differs(own: str, other: str) -> list[list[str]]:
    """Differences of another state's text: the pieces that are not the same, shortened."""
    pieces = [
        [kind, text.strip()[:_TEXT]]
        for text, kind in difference(own[:_COMPARED], other[:_COMPARED])
        if kind != "same" and text.strip()
    ]
    # What the own text has is next to it; where the other only lacks something, that is shown.
    new = [piece for piece in pieces if piece[0] == "new"]
    return (new or pieces)[:6]
