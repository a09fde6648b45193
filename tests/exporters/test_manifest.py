"""Manifests that cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from batches import token_log, write

from workbench.errors import ArtefactError
from workbench.exporters import read_batch
from workbench.exporters.targets.weighted_batch import FILE
from workbench.files import MANIFEST


def test_a_file_without_a_digest_is_refused(tmp_path: Path) -> None:
    write(*token_log(), tmp_path / "out")
    path = tmp_path / "out" / MANIFEST
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, "files": {FILE: "ab"}}))
    with pytest.raises(ArtefactError, match="not a digest and a size"):
        read_batch(tmp_path / "out")
