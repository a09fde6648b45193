"""The project's papers agree with each other: versions, Pythons, and targets of the Makefile."""

from __future__ import annotations

import re
import tomllib

from places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_the_version_is_the_same_everywhere():
    version = PROJECT["version"]
    assert f"\nversion: {version}\n" in read("CITATION.cff")
    assert re.findall(r"^## (\S+)", read("CHANGELOG.md"), re.MULTILINE)[0] == version
    assert f"workbench {version}" in read(".github/ISSUE_TEMPLATE/bug.yml")


def test_the_workflow_tests_the_pythons_that_are_declared():
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    (tested,) = re.findall(r"python: \[(.*)\]", read(".github/workflows/ci.yml"))
    assert re.findall(r"3\.\d+", tested) == declared


def test_what_is_made_is_a_target_with_help():
    targets = set(re.findall(r"^([a-z-]+):.*## \S", read("Makefile"), re.MULTILINE))
    for path in (ROOT / ".ci" / "run", *WORKFLOWS):
        lines = re.sub(r"(?m)#.*$", "", path.read_text(encoding="utf-8"))
        made = set(re.findall(r"(?:run:|stage \".*\") make (?:-s )?([a-z-]+)", lines))
        assert made <= targets, path
    assert {"wheel", "fuzz", "lint", "test-trainers", "test-producers"} <= targets
