"""Layout of one household task, and its goal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ROOMS = ("kitchen", "living room", "bedroom")
APPLIANCES = ("sink", "microwave", "fridge")
FURNITURE = ("shelf", "drawer", "cabinet", "table", "countertop", "desk")
OPENABLE = frozenset({"microwave", "fridge", "drawer", "cabinet"})
INSIDE = OPENABLE | {"sink"}
OBJECTS = ("mug", "plate", "bowl", "apple", "potato", "egg", "knife", "spoon", "pan", "tomato")
CLUTTER = ("lamp", "clock", "houseplant", "radio", "painting", "vase", "candle", "statue")
GOALS = ("put", "clean", "heat", "cool", "two")
TOOLS = {"clean": "sink", "heat": "microwave", "cool": "fridge"}
CONDITIONS = {"clean": "clean", "heat": "hot", "cool": "cool"}


@dataclass(frozen=True, kw_only=True)
class Layout:
    """One task: R receptacles in some rooms, O portable objects, and a goal.

    Args:
        rooms: Names of the rooms; each leads to every other.
        receptacles: Names such as "shelf 1". R of them.
        room_of: Room of each receptacle.
        objects: Names such as "mug 1"; the first `targets` are what the goal is about. O of them.
        positions: Receptacle in which each object lies at first.
        clutter: Things of each receptacle that are seen there but cannot be moved.
        start_room: Room in whose middle an episode begins.
        targets: How many objects have to reach a destination.
        treatment: "clean", "heat" or "cool" where the target must be that, else none.
        destinations: Receptacles of the kind that the goal names.
        goal: The goal in words.
    """

    rooms: Sequence[str]
    receptacles: Sequence[str]
    room_of: Sequence[int]
    objects: Sequence[str]
    positions: Sequence[int]
    clutter: Sequence[Sequence[str]]
    start_room: int
    targets: int
    treatment: str | None
    destinations: Sequence[int]
    goal: str

    @property
    def places(self) -> tuple[str, ...]:
        """Places of the agent: at a receptacle, or (R and above) in the middle of a room."""
        return (*self.receptacles, *self.rooms)

    def room_at(self, place: int) -> int:
        """Room that a place belongs to."""
        count = len(self.receptacles)
        return self.room_of[place] if place < count else place - count

    def openable(self, place: int) -> bool:
        """True if the place is a receptacle with a door or a front that shuts."""
        return kind_of(self.places[place]) in OPENABLE

    def preposition(self, receptacle: int) -> str:
        """The word "in" or "on", as things lie there."""
        return preposition(kind_of(self.receptacles[receptacle]))


def kind_of(name: str) -> str:
    """The kind in a name: "shelf" of "shelf 1"."""
    return name.rpartition(" ")[0]


def preposition(kind: str) -> str:
    """The word "in" or "on" for a kind of receptacle."""
    return "in" if kind in INSIDE else "on"


def draw_layout(
    index: int, *, rooms: int, receptacles: int, objects: int, rng: np.random.Generator
) -> Layout:
    """Draw the rooms, things and goal of one task.

    The goals take turns (put, clean, heat, cool, two); everything else is drawn. The kitchen has
    a sink, a microwave and a fridge; furniture is dealt to the rooms in turn. Objects lie
    anywhere, behind closed doors too, but no target begins at a destination.

    Args:
        index: Number of the task, which decides its goal.
        rooms: Number of rooms.
        receptacles: Number of receptacles R, appliances included.
        objects: Number of portable objects O.
        rng: Source of all randomness.
    """
    verb = GOALS[index % len(GOALS)]
    furniture = [str(kind) for kind in rng.choice(FURNITURE, receptacles - len(APPLIANCES))]
    kinds = [*APPLIANCES, *furniture]
    room_of = [0] * len(APPLIANCES) + [(turn + 1) % rooms for turn in range(len(furniture))]
    destination = furniture[int(rng.integers(len(furniture)))]
    destinations = [place for place, kind in enumerate(kinds) if kind == destination]
    targets = 2 if verb == "two" else 1
    drawn = [str(kind) for kind in rng.choice(OBJECTS, objects, replace=False)]
    elsewhere = [place for place in range(receptacles) if place not in destinations]
    return Layout(
        rooms=ROOMS[:rooms],
        receptacles=_numbered(kinds),
        room_of=room_of,
        objects=_numbered([drawn[0]] * targets + drawn[1 : objects - targets + 1]),
        positions=[
            int(rng.choice(elsewhere)) if thing < targets else int(rng.integers(receptacles))
            for thing in range(objects)
        ],
        clutter=_drawn_clutter(kinds, rng),
        start_room=int(rng.integers(rooms)),
        targets=targets,
        treatment=verb if verb in TOOLS else None,
        destinations=destinations,
        goal=_goal_text(verb, drawn[0], destination),
    )


def _numbered(kinds: Sequence[str]) -> list[str]:
    return [f"{kind} {kinds[: place + 1].count(kind)}" for place, kind in enumerate(kinds)]


def _drawn_clutter(kinds: Sequence[str], rng: np.random.Generator) -> list[list[str]]:
    """One immovable thing on every other open surface, on average."""
    things = [str(thing) for thing in rng.permutation(CLUTTER)]
    present = rng.random(len(kinds)) < 0.5
    return [
        [f"{things[place % len(things)]} 1"] if present[place] and kind not in INSIDE else []
        for place, kind in enumerate(kinds)
    ]


def _goal_text(verb: str, thing: str, destination: str) -> str:
    where = f"{preposition(destination)} the {destination}"
    if verb == "two":
        plural = {"knife": "knives", "potato": "potatoes", "tomato": "tomatoes"}
        return f"find two {plural.get(thing, thing + 's')} and put them {where}"
    described = f"{CONDITIONS[verb]} {thing}" if verb in TOOLS else thing
    article = "an" if described[0] in "aeiou" else "a"
    return f"put {article} {described} {where}"
