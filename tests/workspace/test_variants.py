"""Named variants of a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest
from kept_variants import forget

from workbench.errors import ArtefactError, UnknownNameError
from workbench.methods import create
from workbench.methods.variants import variants
from workbench.workspace.variants import Variants


def test_a_variant_is_among_the_methods_again_after_a_restart(tmp_path: Path):
    kept = Variants(tmp_path)
    assert (kept.version, kept.table(), kept.load()) == ("", {}, [])
    name = kept.put("no luck", {"of": "gigpo", "without": "a"})
    assert name in variants()
    # What a new process has: the file alone.
    forget(name)
    with pytest.raises(UnknownNameError):
        create(name)
    assert Variants(tmp_path).load() == []
    assert create(name).values["without"] == "a"
    forget(name)


def test_a_variant_that_cannot_be_had_is_said_and_the_others_are_there(tmp_path: Path):
    kept = Variants(tmp_path)
    name = kept.put("good", {"of": "grpo", "rewards": "a=1"})
    table = kept.path.read_text(encoding="utf-8")
    broken = table.replace("{", '{"what-if:bad-123456":{"of":"no-such"},', 1)
    kept.path.write_text(broken, encoding="utf-8")
    (problem,) = kept.load()
    assert "what-if:bad-123456 of this workspace cannot be had" in problem
    assert create(name).values["rewards"] == "a=1"
    forget(name)


def test_a_damaged_file_is_named(tmp_path: Path):
    kept = Variants(tmp_path)
    kept.path.write_text("[1]", encoding="utf-8")
    with pytest.raises(ArtefactError, match=r"variants\.json is no table"):
        kept.table()
