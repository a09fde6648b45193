"""Keys by similarity: clusters of near texts inside a group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from workbench.log.steps import Index, Steps
from workbench.parameters import Parameterised, parameter
from workbench.states.keys.base import Key, KeySpace, action_key, labels, state_key
from workbench.states.keys.text import state_texts
from workbench.states.similarity import Similarity

Linkage = Literal["connected", "complete"]

ROUNDING = 1e-9  # a similarity this little below the threshold reaches it
CHUNK = 4_000_000  # similarities in flight: 32 MB


def clusters(similarity: Similarity, threshold: float, how: Linkage) -> Index:
    """Cluster of each state; groups never share one.

    `connected`: two states are in one cluster if a chain of states leads from one to the other
    whose links all reach the threshold. `complete`: clusters are joined, nearest first, as long as
    the least similar two of their members reach it, so that all members of a cluster do.

    The result depends on the texts of a group alone, not on the order in which they are met. A
    group of n states costs memory for n² similarities if `complete`, bounded memory if `connected`.

    Args:
        similarity: Of the states.
        threshold: Cosine from which on two states are linked.
        how: Which of the two.

    Returns:
        (U,) int64.
    """
    groups = len(similarity.states.start) - 1
    found = np.zeros(len(similarity.states.text), dtype=np.int64)
    one_group = _connected if how == "connected" else _complete
    with threadpool_limits(limits=1, user_api="blas"):
        for group in range(groups):
            first, last = similarity.states.start[group : group + 2]
            found[first:last] = first + one_group(similarity, group, threshold - ROUNDING)
    return found


def _connected(similarity: Similarity, group: int, threshold: float) -> Index:
    size = similarity.size(group)
    cluster = np.arange(size)
    chunk = max(1, CHUNK // max(size, 1))
    for first in range(0, size, chunk):
        rows = np.arange(first, min(first + chunk, size))
        row, column = np.nonzero(similarity.rows(group, rows) >= threshold)
        # Links between the clusters that were found so far: bounded memory at any threshold.
        ends = (cluster[rows[row]], cluster[column])
        links = coo_array((np.ones(len(row), dtype=np.int8), ends), shape=(size, size))
        cluster = connected_components(links, directed=False)[1][cluster]
    return cluster.astype(np.int64)


def _complete(similarity: Similarity, group: int, threshold: float) -> Index:
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    size = similarity.size(group)
    if size < 2:
        return np.zeros(size, dtype=np.int64)
    start = similarity.states.start[group]
    # In the order of the texts, so that equal distances are always broken the same way.
    order = np.array(
        sorted(range(size), key=similarity.states.text[start : start + size].__getitem__)
    )
    distance = 1.0 - similarity.block(group)[np.ix_(order, order)]
    distance = np.maximum((distance + distance.T) / 2.0, 0.0).round(12)
    np.fill_diagonal(distance, 0.0)
    tree = linkage(squareform(distance, checks=False), method="complete")
    cluster = np.empty(size, dtype=np.int64)
    cluster[order] = fcluster(tree, 1.0 - threshold, criterion="distance")
    return cluster


@dataclass(frozen=True, kw_only=True)
class Near(Parameterised):
    """Similarity from which two texts count as the same."""

    threshold: float = parameter(
        0.9, "cosine from which on two texts are linked", minimum=-1.0, maximum=1.0
    )
    linkage: Linkage = parameter(
        "connected",
        "connected: near by a chain of links; complete: every two of a cluster are near",
    )
    embedder: str | None = parameter(
        None, "representation that this key brings itself; null takes the one in use"
    )

    def needs(self) -> Sequence[str]:
        """Similarities of the embedder in use, unless the key brings its own."""
        return ("similarity",) if self.embedder is None else ()

    def of(self, steps: Steps, similarity: Similarity) -> Index:
        """Labels by cluster. (S,) int64."""
        found = clusters(similarity, self.threshold, self.linkage)
        return labels(steps, found[similarity.states.state])


@state_key("similar")
@dataclass(frozen=True, kw_only=True)
class Similar(Near, Key):
    """Near texts: clusters of the group's state texts by cosine similarity.

    A higher threshold splits clusters and never joins any. A text without a vector (no word that
    the embedder knows) is alone.
    """

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by cluster of the state."""
        return self.of(steps, space.similarity(self.embedder))


@action_key("similar")
@dataclass(frozen=True, kw_only=True)
class SimilarAction(Near, Key):
    """Near texts: clusters of the group's action texts by cosine similarity."""

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by cluster of the action."""
        return self.of(steps, space.action_similarity(self.embedder))


@state_key("first-fit")
@dataclass(frozen=True, kw_only=True)
class FirstFit(Key):
    """The clusters of the original GiGPO: each text joins the first cluster whose founder is near.

    Texts come in the order of the source's rows; near is `difflib.SequenceMatcher.ratio` of the
    text and the cluster's first member. Another order of the rows gives other clusters, and from
    200 characters on difflib ignores characters that are frequent, so that one changed digit can
    take a ratio from .99 to .1. It is here to reproduce numbers; `similar` is what to use.
    """

    threshold: float = parameter(
        0.95,
        "ratio from which on a text joins a cluster",
        minimum=0.0,
        maximum=1.0,
        minimum_exclusive=True,
    )

    def __call__(self, steps: Steps, space: KeySpace) -> Index:
        """Labels by cluster."""
        text, logged = state_texts(steps)
        distinct = labels(steps, text, logged)
        order = np.argsort(steps.column("source_row").to_numpy(), kind="stable")
        met = np.unique(distinct[order], return_index=True)[1]
        first = order[met]
        cluster = np.empty(len(first), dtype=np.int64)
        founders: dict[tuple[int, bool], list[tuple[int, SequenceMatcher[str]]]] = {}
        for label in np.argsort(met, kind="stable").tolist():
            step = int(first[label])
            among = founders.setdefault((int(steps.group[step]), logged[step]), [])
            cluster[label] = self._joined(text[step], label, among)
        return labels(steps, cluster[distinct])

    def _joined(
        self, text: str, label: int, founders: list[tuple[int, SequenceMatcher[str]]]
    ) -> int:
        for founder, matcher in founders:
            matcher.set_seq1(text)
            # The two quick ratios are upper bounds of the ratio.
            if (
                matcher.real_quick_ratio() >= self.threshold
                and matcher.quick_ratio() >= self.threshold
                and matcher.ratio() >= self.threshold
            ):
                return founder
        # difflib prepares its second text once, and that is the founder.
        founders.append((label, SequenceMatcher(None, "", text)))
        return label
