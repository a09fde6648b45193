"""Lessons of a run: batches scored, exported and turned into weighted answers."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from workbench.bench.episodes import Episode
from workbench.bench.identity import embedder_named
from workbench.bench.policies import Policy
from workbench.bench.prompts import Decision, decisions_of
from workbench.errors import ArtefactError, EmptyBatchError
from workbench.exporters import TARGETS, read_batch
from workbench.exporters.lists import flat
from workbench.log.steps import Index, Real, Steps
from workbench.methods import Method
from workbench.methods.scoring import scored
from workbench.states.space import Space
from workbench.states.text import StateText
from workbench.workspace.opened import open_log

EARLIER = 20
"""Batches before the present one that a method which learns from them is shown."""


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A lesson of a policy: the answers of a batch, each with its weight.

        weight_i = w · A_i / (number of trained answers)        w of the exported row, here 1

    PPO's clipped loss has the same gradient here: the policy that answered is the one that learns.
    """

    decisions: Sequence[Decision]
    chosen: Index
    weight: Real

    @classmethod
    def of_episodes(cls, episodes: Sequence[Episode], advantage: Real) -> Lesson:
        """The lesson of some episodes, whose steps all train, in the precision of a batch."""
        held = advantage.astype(np.float32).astype(np.float64)
        return cls(
            decisions=[decision for each in episodes for decision in each.decisions],
            chosen=np.array([option for each in episodes for option in each.chosen]),
            weight=held / len(held),
        )

    @classmethod
    def of_export(cls, rows: pl.DataFrame) -> Lesson:
        """The lesson of the rows of an exported batch: messages and numbers are all it knows."""
        decisions: list[Decision] = []
        chosen: list[int] = []
        for messages in rows["messages"].to_list():
            asked, answered = decisions_of(messages)
            decisions += asked
            chosen += answered
        size = rows["step_mask"].list.len().to_numpy()
        advantage = flat(rows["step_advantages"]).to_numpy().astype(np.float64)
        factor = np.repeat(rows["weight"].to_numpy().astype(np.float64), size)
        trained = np.flatnonzero(flat(rows["step_mask"]).to_numpy())
        return cls(
            decisions=[decisions[step] for step in trained],
            chosen=np.array(chosen)[trained],
            weight=(factor * advantage)[trained] / len(trained),
        )

    def teach(self, policy: Policy) -> None:
        """One step of policy gradient: Σ_i weight_i · ∇ log π(answer_i)."""
        policy.learn(self.decisions, self.chosen, self.weight)


class Scorer:
    """Scores the batches of a run one after the other, as they are sampled.

    Args:
        method: The method; one that learns from earlier batches sees the last of them too.
        embedder: Representation for methods that need similarities.
        state_text: What such methods compare.
        folder: For vectors and for the export that is checked.
    """

    def __init__(self, method: Method, embedder: str, state_text: StateText, folder: Path) -> None:
        self._method, self._embedder, self._state_text = method, embedder, state_text
        self._folder = folder
        earlier = EARLIER if method.couples_batches() else 0
        self._frames: deque[pl.DataFrame] = deque(maxlen=earlier + 1)

    def __call__(self, log: pl.DataFrame) -> tuple[Steps, Real]:
        """The steps of a batch, and the advantage of each."""
        self._frames.append(log)
        space = self._open(pl.concat(self._frames))
        advantage = self._method(space.steps, space).advantage
        if len(self._frames) == 1:
            return space.steps, advantage
        here = space.steps.column("train_step") == log["train_step"][0]
        return Steps.from_log(space.steps.log.filter(here)), advantage[here.to_numpy()]

    def check(self, log: pl.DataFrame, name: str, lesson: Lesson) -> None:
        """Refuse a batch, with its conversations, whose export would teach something else.

        Raises:
            ArtefactError: The exported batch holds other answers or other weights.
        """
        _, rows = exported(
            log,
            name,
            self._method,
            self._folder,
            embedder=self._embedder,
            state_text=self._state_text,
        )
        if rows is None:
            same = not lesson.weight.any()
        else:
            carried = Lesson.of_export(rows)
            same = (
                carried.decisions == lesson.decisions
                and np.array_equal(carried.chosen, lesson.chosen)
                and np.allclose(carried.weight, lesson.weight, rtol=0.0, atol=1e-12)
            )
        if not same:
            raise ArtefactError(f"the exported batch does not carry the credit of {name}")

    def _open(self, log: pl.DataFrame) -> Space:
        return open_log(
            log,
            embedder=embedder_named(self._embedder),
            state_text=self._state_text,
            cache=self._folder / "vectors",
        )


def exported(
    log: pl.DataFrame,
    name: str,
    method: Method,
    folder: Path,
    *,
    embedder: str,
    state_text: StateText | None = None,
) -> tuple[Space, pl.DataFrame | None]:
    """The way of any log: written, read and validated, scored, exported, and read back.

    Where no step has an advantage there is no batch to read: None.
    """
    file = folder / "log.parquet"
    log.write_parquet(file)
    space = open_log(
        file,
        embedder=embedder_named(embedder),
        state_text=state_text,
        cache=folder / "vectors",
    )
    credit = scored(space, name, method).scored()
    batch = folder / "batch"
    try:
        TARGETS["weighted-batch"](space.steps.log, credit, batch, unit="trajectory", overwrite=True)
    except EmptyBatchError:
        return space, None
    return space, read_batch(batch)
