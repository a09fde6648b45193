"""Text of a household task: action names and observations in ALFWorld's manner."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from workbench.simulate.household.layout import CONDITIONS, Layout
from workbench.simulate.household.states import Action, HouseStates
from workbench.simulate.lexicon import Clause, Lexicon, Speaker
from workbench.simulate.model import END, Model

LEXICON = Lexicon(
    phrases={
        "task": ("Your task is to: {goal}.",),
        "middle": (
            "You are in the middle of the {room}. Looking quickly around you, you see {things}.",
            "You stand in the {room}. Around you there are {things}.",
            "This is the {room}. It has {things}.",
            "The {room} surrounds you, with {things}.",
            "You find yourself in the {room} and notice {things}.",
        ),
        "doors": (
            "From here you can walk to the {rooms}.",
            "A door leads to the {rooms}.",
            "The {rooms} can be reached through the door.",
            "Beyond the door lies the {rooms}.",
        ),
        "arrive": (
            "You arrive at {place}.",
            "You reach {place}.",
            "You walk over to {place}.",
            "You are now at {place}.",
            "You step up to {place}.",
            "Now {place} is right in front of you.",
        ),
        "facing": (
            "You are facing the {place}.",
            "The {place} is before you.",
            "You look at the {place}.",
            "You stand in front of the {place}.",
            "Your eyes rest on the {place}.",
        ),
        "closed": (
            "The {place} is closed.",
            "The {place} is shut.",
            "It is closed.",
            "You cannot see inside the closed {place}.",
            "The {place} has not been opened.",
        ),
        "open": (
            "You open the {place}. The {place} is open.",
            "You pull the {place} open.",
            "The {place} opens.",
            "The {place} is open now.",
            "With a tug the {place} comes open.",
        ),
        "close": (
            "You close the {place}.",
            "You shut the {place}.",
            "You push the {place} closed.",
            "The {place} is closed again.",
            "The {place} falls shut.",
        ),
        "contents": (
            "{where} the {place}, you see {things}.",
            "{where} the {place} there is {things}.",
            "{where} it you notice {things}.",
            "The {place} holds {things}.",
            "You can see {things} there.",
            "What it has: {things}.",
        ),
        "take": (
            "You pick up the {thing} from the {place}.",
            "You take the {thing} from the {place}.",
            "You grab the {thing} off the {place}.",
            "The {thing} from the {place} is in your hand.",
            "You now hold the {thing} that was at the {place}.",
        ),
        "put": (
            "You put the {thing} {preposition} the {place}.",
            "You place the {thing} {preposition} the {place}.",
            "You set the {thing} down {preposition} the {place}.",
            "The {thing} is now {preposition} the {place}.",
            "You leave the {thing} {preposition} the {place}.",
        ),
        "clean": (
            "You clean the {thing} using the {place}.",
            "You wash the {thing} in the {place}.",
            "You rinse the {thing} under the tap of the {place}.",
            "The {thing} is clean after a wash in the {place}.",
        ),
        "heat": (
            "You heat the {thing} using the {place}.",
            "You warm the {thing} up in the {place}.",
            "The {place} makes the {thing} hot.",
            "The {thing} is hot after a minute in the {place}.",
        ),
        "cool": (
            "You cool the {thing} using the {place}.",
            "You chill the {thing} in the {place}.",
            "The {place} makes the {thing} cold.",
            "The {thing} is cold after a while in the {place}.",
        ),
        "carrying": (
            "You are carrying: {things}.",
            "In your hand: {things}.",
            "You hold {things}.",
            "You have {things} with you.",
            "Your inventory is {things}.",
        ),
        "slip": (
            "Nothing happens.",
            "That has no effect.",
            "It does not work.",
            "Nothing changes.",
            "The attempt fails.",
            "You do not manage to do that.",
        ),
        "vague": (
            "You are somewhere in the {room}.",
            "You are in some part of the {room}.",
            "This is a corner of the {room}.",
            "You stand about in the {room}.",
            "It is hard to tell where in the {room} you are.",
        ),
    },
    openers=(
        "Okay.", "All right.", "Done.", "Right.", "Next:", "Now:", "So:", "Then:", "Well.",
        "Look:", "Here you go.", "Result:", "Update:", "Observation:", "A moment later:", "Hm.",
    ),
    closers=(
        "", "It is quiet.", "The house is still.", "Somewhere a clock ticks.", "Time passes.",
        "The light is dim.", "It is bright in here.", "The floor creaks.", "A car drives by.",
        "You hear the wind.", "Take your next action.", "What do you do?", "Go on.",
        "The air is warm.", "It smells of soap.", "What comes next?",
    ),
)  # fmt: skip


def action_text(action: Action, layout: Layout) -> str:
    """An action as the agent writes it, such as "take mug 1 from table 1"."""
    verb, thing, place = action
    if verb in {"look", "inventory"}:
        return verb
    where = layout.places[place]
    if verb == "go":
        return f"go to {where}"
    if verb in {"open", "close"}:
        return f"{verb} {where}"
    join = {"take": "from", "put": layout.preposition(place)}.get(verb, "with")
    return f"{verb} {layout.objects[thing]} {join} {where}"


@dataclass(frozen=True, kw_only=True)
class HouseNarrator(Speaker):
    """Words the observations of one task.

    Args:
        states: All states of the task.
        model: The task's transitions.
        actions: The task's actions.
        paraphrase: Probability that an observation is reworded, in [0, 1].
        aliased: States whose observation only names the room. (Z,) bool.
    """

    lexicon: ClassVar[Lexicon] = LEXICON
    states: HouseStates
    model: Model
    actions: Sequence[Action]
    aliased: npt.NDArray[np.bool_]

    def _opening(self) -> list[Clause]:
        """The room in which the episode begins, and the task; never aliased."""
        layout = self.states.layout
        place = len(layout.receptacles) + layout.start_room
        return [*self._room(place), ("task", {"goal": layout.goal})]

    def _feedback(self, pair: int, outcome: int) -> list[Clause]:
        """Observation after an action; a slip shows as such even in an aliased state."""
        next_state = int(self.model.next_state[pair, outcome])
        if outcome == 1:
            return [("slip", {})]
        if next_state != END and self.aliased[next_state]:
            layout = self.states.layout
            room = layout.rooms[layout.room_at(int(self.states.place[next_state]))]
            return [("vague", {"room": room})]
        action = self.actions[self.model.action[pair]]
        return self._effect(self.model.state_of(pair), action)

    def _effect(self, state: int, action: Action) -> list[Clause]:
        """Observation of an action that works, from the state in which it was taken."""
        layout = self.states.layout
        verb, thing, place = action
        here = int(self.states.place[state])
        clauses: list[Clause]
        match verb:
            case "go":
                clauses = self._arrival(state, place)
            case "look":
                clauses = self._look(state, here)
            case "inventory":
                clauses = [("carrying", {"things": self._carried(state)})]
            case "open":
                contents = self._contents(state, place, shut=False)
                clauses = [("open", {"place": layout.places[place]}), contents]
            case "close":
                clauses = [("close", {"place": layout.places[place]})]
            case _:
                words = {"thing": layout.objects[thing], "place": layout.places[place]}
                clauses = [(verb, {**words, "preposition": layout.preposition(place)})]
        return clauses

    def _look(self, state: int, here: int) -> list[Clause]:
        layout = self.states.layout
        if here >= len(layout.receptacles):
            return self._room(here)
        shut = layout.openable(here) and not self.states.opened[state]
        return [("facing", {"place": layout.places[here]}), self._contents(state, here, shut=shut)]

    def _arrival(self, state: int, place: int) -> list[Clause]:
        layout = self.states.layout
        if place >= len(layout.receptacles):
            return self._room(place)
        contents = self._contents(state, place, shut=layout.openable(place))
        return [("arrive", {"place": layout.places[place]}), contents]

    def _room(self, place: int) -> list[Clause]:
        layout = self.states.layout
        room = layout.room_at(place)
        things = [
            name for spot, name in enumerate(layout.receptacles) if layout.room_of[spot] == room
        ]
        others = [name for name in layout.rooms if name != layout.rooms[room]]
        middle: Clause = ("middle", {"room": layout.rooms[room], "things": things})
        return [middle, ("doors", {"rooms": " or the ".join(others)})] if others else [middle]

    def _contents(self, state: int, place: int, *, shut: bool) -> Clause:
        layout = self.states.layout
        name = layout.places[place]
        if shut:
            return ("closed", {"place": name})
        lying = np.flatnonzero(self.states.positions[state] == place).tolist()
        things = [layout.objects[thing] for thing in lying] + list(layout.clutter[place])
        where = layout.preposition(place).capitalize()
        return ("contents", {"place": name, "where": where, "things": things})

    def _carried(self, state: int) -> list[str]:
        layout = self.states.layout
        held = np.flatnonzero(self.states.positions[state] == len(layout.receptacles)).tolist()
        treated = self.states.treated[state] and layout.treatment is not None
        return [
            f"{CONDITIONS[layout.treatment or '']} {layout.objects[thing]}"
            if treated and thing == 0
            else layout.objects[thing]
            for thing in held
        ]
