"""The latent states of a household task and what each action does to them.

A state is where every object is (a receptacle, or the hand), where the agent is, whether the
receptacle before it stands open, and whether the target has had its treatment. Doors fall shut
when the agent walks away: one bit for all of them instead of one each keeps the exact values
within reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.simulate.household.layout import TOOLS, Layout, kind_of
from workbench.simulate.model import END, FloatArray, IntArray, Model, progress_reward

Mask = npt.NDArray[np.bool_]
OPPOSITE = {"heat": "cool", "cool": "heat"}


class Action(NamedTuple):
    """A verb with the object and the place it is about; -1 where there is none."""

    verb: str
    thing: int = -1
    place: int = -1


@dataclass(frozen=True, kw_only=True)
class HouseStates:
    """All unsolved states of a layout. Z states, O objects, R receptacles.

    Args:
        layout: The task.
        positions: Receptacle of each object, R for the one in the hand. (Z, O) int64.
        place: Where the agent is, as an index into the layout's places. (Z,) int64.
        opened: Whether the receptacle before the agent stands open. (Z,) bool.
        treated: Whether the target is clean, hot or cool as asked for. (Z,) bool.
        number: State of each mixed-radix code; `END` where solved or impossible. int64.
        shape: Radices of the code.
    """

    layout: Layout
    positions: IntArray
    place: IntArray
    opened: Mask
    treated: Mask
    number: IntArray
    shape: tuple[int, ...]

    def find(self, positions: IntArray, place: IntArray, opened: Mask, treated: Mask) -> IntArray:
        """Numbers of the states with these contents; `END` where the goal is reached."""
        digits = (*positions.T, place, opened.astype(np.int64), treated.astype(np.int64))
        found: IntArray = self.number[np.ravel_multi_index(digits, self.shape)]
        return found

    def start(self) -> int:
        """The state in which an episode begins."""
        layout = self.layout
        found = self.find(
            np.array([layout.positions]),
            np.array([len(layout.receptacles) + layout.start_room]),
            np.array([False]),
            np.array([False]),
        )
        return int(found[0])


def house_states(layout: Layout) -> HouseStates:
    """Enumerate the unsolved states of a layout.

    The hand holds at most one object, and only the door before the agent can be open.
    """
    hand = len(layout.receptacles)
    objects = len(layout.objects)
    treatments = 1 if layout.treatment is None else 2
    shape = (*[hand + 1] * objects, len(layout.places), 2, treatments)
    digits = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1)
    positions, place = digits[:, :objects], digits[:, objects]
    opened, treated = digits[:, objects + 1] == 1, digits[:, objects + 2] == 1
    shuts = np.array([layout.openable(spot) for spot in range(len(layout.places))])
    possible = ((positions == hand).sum(axis=1) <= 1) & (~opened | shuts[place])
    arrived = np.isin(positions[:, : layout.targets], layout.destinations).all(axis=1)
    kept = possible & ~(arrived & (treated | (layout.treatment is None)))
    number = np.full(len(digits), END, dtype=np.int64)
    number[kept] = np.arange(kept.sum())
    return HouseStates(
        layout=layout,
        positions=positions[kept],
        place=place[kept],
        opened=opened[kept],
        treated=treated[kept],
        number=number,
        shape=shape,
    )


def house_actions(layout: Layout) -> list[Action]:
    """Every action that some state of the layout admits, in the order in which they are listed."""
    receptacles = range(len(layout.receptacles))
    things = range(len(layout.objects))
    doors = [place for place in receptacles if layout.openable(place)]
    return [
        *(Action("go", place=place) for place in range(len(layout.places))),
        *(Action(verb, place=place) for place in doors for verb in ("open", "close")),
        *(Action("take", thing, place) for thing in things for place in receptacles),
        *(Action("put", thing, place) for thing in things for place in receptacles),
        *(
            Action(verb, thing, place)
            for verb, tool in TOOLS.items()
            for thing in things
            for place in receptacles
            if kind_of(layout.receptacles[place]) == tool
        ),
        Action("look"),
        Action("inventory"),
    ]


def house_model(
    states: HouseStates, actions: Sequence[Action], *, slips: float, milestones: float
) -> Model:
    """Transitions of a layout: outcome 0 is the action's effect, outcome 1 the slip without any.

    Reaching the goal ends the episode.

    Args:
        states: All states of the layout.
        actions: What can be done, as `house_actions` lists it.
        slips: Probability that an action has no effect, in [0, 1).
        milestones: Share of the reward that is paid for progress, in [0, 1].
    """
    source, action, target = [], [], []
    for number, candidate in enumerate(actions):
        admitted = np.flatnonzero(_admitted(states, candidate))
        source.append(admitted)
        action.append(np.full(len(admitted), number))
        target.append(_effect(states, candidate, admitted))
    pair_source, pair_action = np.concatenate(source), np.concatenate(action)
    order = np.lexsort((pair_action, pair_source))
    pair_source, effect = pair_source[order], np.concatenate(target)[order]
    next_state = np.stack([effect, pair_source], axis=1)
    counts = np.bincount(pair_source, minlength=len(states.place))
    progress = house_progress(states)
    return Model(
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        action=pair_action[order],
        next_state=next_state,
        probability=np.broadcast_to([1.0 - slips, slips], next_state.shape),
        reward=progress_reward(
            next_state == END,
            progress[pair_source][:, None],
            np.append(progress, 1.0)[next_state],
            milestones,
        ),
    )


def house_progress(states: HouseStates) -> FloatArray:
    """φ of each state: mean over the targets (at a destination 1, in the hand ½) and the treatment.

    Returns:
        (Z,) float64, in [0, 1).
    """
    layout = states.layout
    targets = states.positions[:, : layout.targets]
    placed = np.isin(targets, layout.destinations)
    held = targets == len(layout.receptacles)
    parts = np.hstack([placed + 0.5 * held, states.treated[:, None].astype(np.float64)])
    progress: FloatArray = parts[:, : layout.targets + (layout.treatment is not None)].mean(axis=1)
    return progress


def _admitted(states: HouseStates, action: Action) -> Mask:
    """In which states an action is offered. (Z,) bool."""
    layout = states.layout
    verb, thing, place = action
    hand = len(layout.receptacles)
    at_place = states.place == place
    reachable = at_place & (states.opened | (not layout.openable(place)))
    held = states.positions[:, thing] == hand
    admitted: Mask
    match verb:
        case "go":
            room = np.array([layout.room_at(spot) for spot in range(len(layout.places))])
            same_room = room[states.place] == room[place]
            admitted = same_room & ~at_place if place < hand else ~same_room
        case "open" | "close":
            admitted = at_place & (states.opened == (verb == "close"))
        case "take":
            empty_handed = (states.positions != hand).all(axis=1)
            admitted = reachable & (states.positions[:, thing] == place) & empty_handed
        case "put":
            admitted = reachable & held
        case "clean" | "heat" | "cool":
            admitted = at_place & held
        case _:
            admitted = np.ones(len(states.place), dtype=np.bool_)
    return admitted


def _effect(states: HouseStates, action: Action, source: IntArray) -> IntArray:
    """The state after an action that does not slip, for each source state."""
    verb, thing, place = action
    positions, location = states.positions[source], states.place[source]
    opened, treated = states.opened[source], states.treated[source]
    if verb == "go":
        location, opened = np.full_like(location, place), np.zeros_like(opened)
    elif verb in {"open", "close"}:
        opened = np.full_like(opened, verb == "open")
    elif verb in {"take", "put"}:
        positions[:, thing] = len(states.layout.receptacles) if verb == "take" else place
    elif thing == 0 and verb == states.layout.treatment:
        treated = np.ones_like(treated)
    elif thing == 0 and verb == OPPOSITE.get(states.layout.treatment or ""):
        treated = np.zeros_like(treated)
    return states.find(positions, location, opened, treated)
