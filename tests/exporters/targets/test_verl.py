"""The verl batch, read by plain code and not by the target's own reader."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from batches import export, one_advantage, partly_trained, shared_log, with_advantage

from workbench.exporters.targets import verl


def tokens(path: Path) -> Iterator[tuple[int, float, int | None]]:
    """Each token of the file: its id, its advantage, what the mask says."""
    names = ("responses", "rm_scores", "response_mask")
    with path.open("rb") as opened, np.load(opened) as file:
        yield from zip(*(file[name].ravel().tolist() for name in names), strict=True)


def test_a_single_advantage_lands_on_its_own_tokens(tmp_path: Path):
    export("verl", one_advantage(), tmp_path / "out")
    assert with_advantage(tokens(tmp_path / "out" / verl.FILE)) == [(5, 3.0), (6, 3.0)]


def test_only_what_the_policy_sampled_and_trains_on_is_trained(tmp_path: Path):
    export("verl", partly_trained(), tmp_path / "out")
    found = list(tokens(tmp_path / "out" / verl.FILE))
    assert with_advantage(found) == [(3, 2.0), (5, 2.0), (10, 0.5)]
    assert sorted(token for token, _, mask in found if mask) == [3, 5, 10]


def test_the_verl_sample_comes_out(shared: Path, tmp_path: Path):
    export("verl", shared_log(shared), tmp_path / "out")
    found = np.load(tmp_path / "out" / verl.FILE)
    expected = np.load(shared / "samples" / "exports" / "verl_batch.npz")
    assert set(expected.files) <= set(found.files)
    for name in expected.files:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        assert found[name].dtype == expected[name].dtype
