"""A format is told by the first sound record."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from log_files import written
from samples_of import SAMPLE_FILES, SAMPLES

from workbench.readers import read


@pytest.mark.parametrize(("name", "form"), SAMPLE_FILES.items())
def test_a_format_is_known_by_content_behind_damage_and_in_long_lines(
    tmp_path: Path, name: str, form: str
):
    text = (SAMPLES / name).read_text()
    path = tmp_path / "log.xyz"
    path.write_text("{damaged\n" + text)
    assert read([path], skip_bad=True).format == form
    record = {"padding": "x" * 100_000} | json.loads(text.splitlines()[0])
    assert read([written(tmp_path, [record])]).format == form
