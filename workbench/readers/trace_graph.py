"""A trace of verifiers v1 as a graph: messages, what stands above each, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from workbench.log.conversation import normalised
from workbench.readers.jsonfiles import Record
from workbench.readers.messages import Turn, turn, turns
from workbench.readers.records import whole
from workbench.readers.rows import named, token_ids
from workbench.readers.tokens import StepTokens, mask, same_lengths, spread


@dataclass(frozen=True, kw_only=True)
class Node:
    """One message of a trace.

    Args:
        parent: Position of the message before it; None at a root.
        owner: Position of the last sampled message above it; None where there is none.
        new: Positions of the messages between `owner` and this one.
        sequence: Tokens of all messages above it; None where one was not logged.
    """

    position: int
    parent: int | None
    owner: int | None
    new: Sequence[int]
    message: Record
    sampled: bool
    tokens: Sequence[int] | None
    sequence: Sequence[int] | None
    record: Record


def nodes_of(given: Any) -> list[Node]:
    """The messages of a trace with what stands above each.

    Raises:
        ValueError: One is malformed, or its parent does not stand before it.
    """
    if not isinstance(given, list):
        raise ValueError("nodes is not a list")
    turns([as_object(node).get("message") for node in given], ())  # refuses what is no message
    nodes: list[Node] = []
    for position, record in enumerate(given):
        parent = whole(record.get("parent"))
        if parent is not None and not 0 <= parent < position:
            raise ValueError(f"the parent of node {position} is {parent}, not an earlier node")
        above = None if parent is None else nodes[parent]
        owner: int | None = None
        new: list[int] = []
        sequence: list[int] | None = []
        if above is not None:
            owner = above.position if above.sampled else above.owner
            new = [] if above.sampled else [*above.new, above.position]
            sequence = _joined(above.sequence, above.tokens)
        nodes.append(
            Node(
                position=position,
                parent=parent,
                owner=owner,
                new=new,
                message=record["message"],
                sampled=bool(record.get("sampled")),
                tokens=named(f"token_ids of node {position}", token_ids, record.get("token_ids"))
                or None,
                sequence=sequence,
                record=record,
            )
        )
    return nodes


def _joined(before: Sequence[int] | None, own: Sequence[int] | None) -> list[int] | None:
    return None if before is None or own is None else [*before, *own]


def turns_of(steps: Sequence[Node], nodes: Sequence[Node]) -> list[Turn]:
    """Sampled messages as steps, in the order given.

    The observation is what is new on the message's own branch. A message that does not hang on the
    step before begins a segment with its whole prompt.
    """
    found: list[Turn] = []
    before: Node | None = None
    segment = 0
    for node in steps:
        goes_on = before is not None and node.owner == before.position
        segment += before is not None and not goes_on
        own = _turn(node, nodes, node.new)
        if not goes_on:
            whole_prompt = _turn(node, nodes, _path(node, nodes))
            own = replace(own, messages=whole_prompt.messages, notes=whole_prompt.notes)
        found.append(replace(own, segment=segment))
        before = node
    return found


def _turn(node: Node, nodes: Sequence[Node], before: Sequence[int]) -> Turn:
    messages = normalised([*(nodes[at].message for at in before), node.message]).messages
    answer = normalised(_answer(node, nodes)).messages
    return turn(messages, answer or None)


def _path(node: Node, nodes: Sequence[Node]) -> list[int]:
    """Positions of all messages above one, from the root on."""
    path: list[int] = []
    at = node.parent
    while at is not None:
        path.append(at)
        at = nodes[at].parent
    return path[::-1]


def _answer(node: Node, nodes: Sequence[Node]) -> list[Record]:
    """Environment's answer to a step: given to the next step of its branch, or to none."""
    below = [other for other in nodes[node.position + 1 :] if other.owner == node.position]
    following = next((other for other in below if other.sampled), below[-1] if below else None)
    if following is None:
        return []
    seen = [*following.new, *([] if following.sampled else [following.position])]
    return [nodes[position].message for position in seen]


def tokens_of(node: Node) -> StepTokens:
    """Token columns of a sampled message; its leading template tokens belong to the prompt."""
    if node.tokens is None or node.sequence is None:
        return StepTokens()
    record, count = node.record, len(node.tokens)
    sampled = named(f"mask of node {node.position}", mask, record.get("mask")) or []
    same_lengths({f"mask of node {node.position}": sampled}, count, "tokens")
    if not any(sampled):
        return StepTokens()
    first = sampled.index(1)
    spreads = {
        name: spread(record.get(name), sampled, f"{name} of node {node.position}")
        for name in ("logprobs", "advantages")
    }
    return StepTokens(
        prompt=[*node.sequence, *node.tokens[:first]],
        response=node.tokens[first:],
        mask=sampled[first:],
        **{name: values and values[first:] for name, values in spreads.items()},
    )


def in_loss(nodes: Sequence[Node]) -> set[int]:
    """Positions on a branch that is trained: not those of a compaction that led nowhere."""
    links = [(node.position, objects_in(node.record.get("semantic_parents"))) for node in nodes]
    resumed = {
        node
        for _, given in links
        for link in given
        if link.get("type") == "compaction" and isinstance(node := link.get("node"), int)
    }
    attempts = {
        at for at, given in links if any(link.get("type") == "compaction_attempt" for link in given)
    }
    leaves = set(range(len(nodes))) - {node.parent for node in nodes}
    kept: set[int] = set()
    for leaf in leaves - (attempts - resumed):
        at: int | None = leaf
        while at is not None and at not in kept:
            kept.add(at)
            at = nodes[at].parent
    return kept


def as_object(value: Any) -> Record:
    """A JSON object; one without keys for anything else."""
    return value if isinstance(value, dict) else {}


def objects_in(value: Any) -> list[Record]:
    """The objects in a JSON list; none for anything else."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
