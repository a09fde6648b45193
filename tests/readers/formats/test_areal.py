"""AReaL rollout dumps as steps."""

from __future__ import annotations

from samples_of import SAMPLES, assert_nine_steps

from workbench.readers import import_log


def test_the_sample_becomes_the_nine_canonical_steps():
    assert_nine_steps(import_log([SAMPLES / "areal"]), "areal")
