"""The space of a log: similarities and keys of its states, computed when first needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import cached_property
from html import escape

import numpy as np
import polars as pl
from scipy.sparse import csr_array, vstack

from workbench.log.segments import segment_sum
from workbench.log.steps import Index, Steps
from workbench.states.embedders.registry import DEFAULT_EMBEDDER, Embedder, resolve
from workbench.states.embedders.tfidf import Vectors
from workbench.states.embedders.vector_cache import VectorCache
from workbench.states.keys import parse_action_key, parse_state_key
from workbench.states.neighbours import NeighbourIndex
from workbench.states.similarity import Similarity, States
from workbench.states.text import StateText
from workbench.states.tree import Tree
from workbench.wording import Progress, shortened, silent

IndexStore = Callable[[str, States, Index, Callable[[], NeighbourIndex]], NeighbourIndex]
"""Gives the index of a key, of states and their counts, from a store or, where that has none, from
the function."""


class Space:
    """Lazy access to vectors, similarities and keys of one log.

    A second method or another temperature on the same space costs no second embedding and no
    second similarity.

    Args:
        steps: The scored steps.
        embedder: A name that `embed.resolve` knows, a model id, a path, or an embedder.
        state_text: What text of a step stands for its state.
        cache: Where vectors are kept between runs; None keeps none.
        index_store: Where neighbour indices are kept between runs; None keeps none.
        progress: Told how many texts are encoded.
        log_sha256: Gives the digest of what the log was read from; that of its rows by default.
        allow_unchained: Whether methods that ask which steps follow each other may run where a
            reader had to guess that.
    """

    def __init__(
        self,
        steps: Steps,
        *,
        embedder: str | Embedder = DEFAULT_EMBEDDER,
        state_text: StateText | None = None,
        cache: VectorCache | None = None,
        index_store: IndexStore | None = None,
        progress: Progress = silent,
        log_sha256: Callable[[], str] | None = None,
        allow_unchained: bool = False,
    ) -> None:
        self.steps = steps
        self.allow_unchained = allow_unchained
        self.state_text = state_text or StateText()
        self._named = embedder
        self._cache = cache
        self._index_store = index_store
        self._progress = progress
        self._log_sha256 = log_sha256
        self._similarities: dict[str, Similarity] = {}
        self._action_similarities: dict[str, Similarity] = {}
        self._state_keys: dict[str, Index] = {}
        self._action_keys: dict[str, Index] = {}

    def __repr__(self) -> str:
        return f"<Space {self._described()}>"

    def _repr_html_(self) -> str:
        """Summary of the log, notes, and its first rows."""
        notes = "".join(f"<li>{escape(shortened(note, 300))}</li>" for note in self._known_notes())
        columns = ("group_id", "trajectory_id", "step_index", "observation", "action", "reward")
        head = self.steps.log.select(columns).head(5)._repr_html_()
        return f"<p>{escape(self._described())}</p>{f'<ul>{notes}</ul>' * bool(notes)}{head}"

    def _described(self) -> str:
        named = self._named if isinstance(self._named, str) else self._named.name
        steps = self.steps
        return (
            f"{len(steps):,} of {steps.log.height:,} steps scored, {steps.trajectories:,} "
            f"trajectories, {steps.groups:,} groups; embedder {shortened(named, 120)}"
        )

    def _known_notes(self) -> tuple[str, ...]:
        """The notes, without making the embedder where none has been asked for."""
        return self.notes if "embedder" in self.__dict__ else ()

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder of the space."""
        if isinstance(self._named, str):
            return resolve(self._named, self._cache)
        return self._named

    @cached_property
    def log_sha256(self) -> str:
        """Digest of what the log was read from."""
        if self._log_sha256 is not None:
            return self._log_sha256()
        return self.steps.sha256

    @cached_property
    def tree(self) -> Tree:
        """The rollout trees of a log with node_id."""
        return Tree.of(self.steps)

    def state_key(self, spec: str = "exact") -> Index:
        """Label of each step's state under a key of `keys`. (S,) int64."""
        if spec not in self._state_keys:
            self._state_keys[spec] = parse_state_key(spec)(self.steps, self)
        return self._state_keys[spec]

    def action_key(self, spec: str = "text") -> Index:
        """Label of each step's action under a key of `keys`. (S,) int64."""
        if spec not in self._action_keys:
            self._action_keys[spec] = parse_action_key(spec)(self.steps, self)
        return self._action_keys[spec]

    def similarity(
        self, embedder: str | None = None, *, progress: Progress | None = None
    ) -> Similarity:
        """Similarities between the distinct states of each group.

        Args:
            embedder: A method that brings its own representation names it here; it then sees the
                bare observations. None takes the space's embedder and state text.
            progress: Told in place of the space's own.
        """
        if embedder is not None and self._is_own(embedder):
            embedder = None
        name = "" if embedder is None else embedder
        if name not in self._similarities:
            text = self.state_text if embedder is None else StateText()
            texts = text.texts(self.steps.log)
            self._similarities[name] = self._similarity_of(texts, embedder, progress)
        return self._similarities[name]

    def action_similarity(self, embedder: str | None = None) -> Similarity:
        """Similarities between the distinct actions of each group.

        Args:
            embedder: As for `similarity`.
        """
        name = "" if embedder is None else embedder
        if name not in self._action_similarities:
            texts = self.steps.log["action"]
            self._action_similarities[name] = self._similarity_of(texts, embedder)
        return self._action_similarities[name]

    def _is_own(self, embedder: str) -> bool:
        """True if that embedder, of bare observations, is what the space itself compares by."""
        plain = self.state_text == StateText()
        return plain and resolve(embedder, self._cache).key == self.embedder.key

    def _similarity_of(
        self, texts: pl.Series, embedder: str | None, progress: Progress | None = None
    ) -> Similarity:
        own = self.embedder if embedder is None else resolve(embedder, self._cache)
        states = group_states(self.steps, texts)
        counts = self._counts(own, states)
        vectors = self._encoded(own, states, counts, progress or self._progress)
        return Similarity(states, vectors)

    def _encoded(
        self, embedder: Embedder, states: States, counts: Index, progress: Progress
    ) -> Vectors:
        """Vectors of the states; of each batch by itself where the embedder is fitted over one."""
        steps = self.steps
        if steps.batches == 1 or not _is_fitted_over_batch(embedder):
            return embedder.encode(states.text, counts, states.start, progress)
        size = np.diff(states.start)
        batch = np.repeat(steps.group_batch, size)
        parts = []
        for number in range(steps.batches):
            here = np.flatnonzero(batch == number)
            start = np.append(0, np.cumsum(size[steps.group_batch == number])).astype(np.int64)
            texts = [states.text[state] for state in here.tolist()]
            parts.append(csr_array(embedder.encode(texts, counts[here], start, progress)))
        # Columns of different batches mean different words, which no group ever compares.
        width = max(part.shape[1] for part in parts)
        for part in parts:
            part.resize(part.shape[0], width)
        order = np.argsort(batch, kind="stable")
        return csr_array(vstack(parts, format="csr"))[np.argsort(order, kind="stable")]

    def fits_batches(self, embedder: str | None = None) -> bool:
        """True if vectors of a group depend on the other groups of its batch.

        Args:
            embedder: As for `similarity`.
        """
        own = self.embedder if embedder is None else resolve(embedder, self._cache)
        return _is_fitted_over_batch(own)

    def state_key_of_batch(self, spec: str = "exact") -> Index:
        """Label of each step's state under a key, as if every batch were one group. (S,) int64.

        Equal in a batch means the same, across its groups, which mixes tasks.
        """
        order, space = self._of_batches
        label = np.empty(len(order), dtype=np.int64)
        label[order] = space.state_key(spec)
        return label

    @cached_property
    def _of_batches(self) -> tuple[Index, Space]:
        """The steps, those of a batch adjacent, as groups: their order (S,), and their space."""
        steps = self.steps
        order = np.argsort(steps.batch, kind="stable")
        trajectory = steps.trajectory[order]
        arrays = {
            entry.name: getattr(steps, entry.name)[order]
            for entry in fields(steps)
            if entry.name != "log"
        }
        arrays["group"] = steps.batch[order]
        arrays["trajectory"] = np.cumsum(np.diff(trajectory, prepend=trajectory[0]) != 0)
        space = Space(
            replace(steps, **arrays),
            embedder=self._named,
            state_text=self.state_text,
            cache=self._cache,
            progress=self._progress,
            allow_unchained=self.allow_unchained,
        )
        return order.astype(np.int64), space

    @property
    def has_similarity(self) -> bool:
        """True if the similarities of the space's own embedder are computed."""
        return "" in self._similarities

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes for readers of these vectors; empty until they are computed."""
        report = self.embedder.windows_report
        return (str(report),) if report is not None and report.longer else ()

    def _counts(self, embedder: Embedder, states: States) -> Index:
        weight = self.steps.counted.astype(np.float64)
        if embedder.counts_copies:
            weight *= self.steps.copies
        return segment_sum(weight, states.state, len(states.text)).astype(np.int64)

    @cached_property
    def log_states(self) -> States:
        """The distinct state texts of the whole log, as one segment."""
        texts = self.state_text.texts(self.steps.log).gather(self.steps.row)
        distinct = texts.unique(maintain_order=True)
        state = distinct.to_frame("text").with_row_index("state")
        joined = texts.to_frame("text").join(state, on="text", maintain_order="left")
        start = np.array([0, len(distinct)], dtype=np.int64)
        return States(joined["state"].to_numpy().astype(np.int64), start, distinct.to_list())

    @property
    def log_counts(self) -> Index:
        """Steps that each state of `log_states` counts for the embedder. (U,) int64."""
        return self._counts(self.embedder, self.log_states)

    @cached_property
    def neighbours(self) -> NeighbourIndex:
        """The index over `log_states`."""
        states = self.log_states

        def build() -> NeighbourIndex:
            vectors = self.embedder.encode(
                states.text, self.log_counts, states.start, self._progress
            )
            return NeighbourIndex(vectors)

        if self._index_store is None:
            return build()
        key = f"{self.embedder.key}-{self.state_text.key}"
        return self._index_store(key, states, self.log_counts, build)

    def nearest(self, step: int, count: int) -> pl.DataFrame:
        """The states nearest to a step's anywhere in the log, its own first.

        Returns:
            One row per state: similarity (cosine), the first step that is in it (group_id,
            trajectory_id, step_index), how many steps and groups are, their mean episode reward,
            and its text.
        """
        states, steps = self.log_states, self.steps
        found, similarity = self.neighbours.nearest(int(states.state[step]), count)
        members = pl.DataFrame(
            {
                "state": states.state,
                "group": steps.group,
                "reward": steps.episode_reward[steps.trajectory],
            }
        ).with_row_index("step")
        of_state = members.group_by("state").agg(
            pl.col("step").min().alias("first"),
            pl.len().alias("steps"),
            pl.col("group").n_unique().alias("groups"),
            pl.col("reward").mean().alias("mean_episode_reward"),
        )
        rows = pl.DataFrame({"state": found, "similarity": similarity}).join(
            of_state, on="state", maintain_order="left"
        )
        ids = steps.log.select("group_id", "trajectory_id", "step_index")
        where = ids[steps.row[rows["first"].to_numpy()]]
        text = pl.Series("text", [states.text[state] for state in found])
        counts = rows.select("steps", "groups", "mean_episode_reward")
        return rows.select("similarity").hstack(where).hstack(counts).with_columns(text)


class DerivedSpace(Space):
    """The space of steps that were made from those of another, with its embedder and state text.

    Args:
        source: The space of the steps as they were.
        steps: What was made of them.
    """

    def __init__(self, source: Space, steps: Steps) -> None:
        super().__init__(
            steps, state_text=source.state_text, allow_unchained=source.allow_unchained
        )
        self._source = source

    @cached_property
    def embedder(self) -> Embedder:
        """The embedder of the source."""
        return self._source.embedder


def _is_fitted_over_batch(embedder: Embedder) -> bool:
    # Only an embedder that counts words over what it is given has this field.
    return not getattr(embedder, "per_segment", True)


def group_states(steps: Steps, texts: pl.Series) -> States:
    """The distinct texts of every group, in the order in which a group first meets them.

    Args:
        steps: The steps.
        texts: One a row of their log. (L,)
    """
    at_steps = texts.gather(steps.row).alias("text")
    keys = pl.DataFrame([pl.Series("group", steps.group), at_steps])
    distinct = keys.unique(maintain_order=True).with_row_index("state")
    joined = keys.join(distinct, on=["group", "text"], maintain_order="left")
    start = np.searchsorted(distinct["group"].to_numpy(), np.arange(steps.groups + 1))
    state = joined["state"].to_numpy().astype(np.int64)
    return States(state, start.astype(np.int64), distinct["text"].to_list())
