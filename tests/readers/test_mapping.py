"""Column mappings: files of them, what they may name, and who takes none."""

from __future__ import annotations

from pathlib import Path

import pytest
from samples_of import SAMPLE_FILES, SAMPLES

from workbench.errors import ParameterError
from workbench.readers import load_mapping, read

CHAT = SAMPLES / "openai_chat.jsonl"
PARQUET = SAMPLES / "parquet/canonical_steps.parquet"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "is not JSON"),
        ("[]", 'expected {"columns"'),
        ('{"column": {}}', 'expected {"columns"'),
        ('{"columns": []}', "'columns' must be an object"),
        ('{"columns": {"reword": "score"}}', "did you mean 'reward'"),
        ('{"columns": {"reward": 3}}', "must be mapped to a name, got 3"),
        ('{"columns": {"reward": "x", "task": "x"}}', "gives ['x'] to more than one column"),
    ],
)
def test_a_wrong_mapping_file_is_named_with_what_is_wrong(tmp_path: Path, text: str, says: str):
    path = tmp_path / "map.json"
    path.write_text(text)
    with pytest.raises(ParameterError) as caught:
        load_mapping(path)
    assert says in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_mapping_that_names_what_is_not_there_lists_what_is(tmp_path: Path):
    with pytest.raises(ParameterError, match="cannot be read"):
        load_mapping(tmp_path / "nothing.json")
    with pytest.raises(ParameterError, match="for which no record has a value; found"):
        read([CHAT], mapping={"columns": {"reward": "points"}})
    with pytest.raises(ParameterError, match="which the file does not have"):
        read([PARQUET], mapping={"columns": {"reward": "points"}})
    with pytest.raises(ParameterError, match="no value per step"):
        read([CHAT], mapping={"columns": {"observation": "task_id"}})


@pytest.mark.parametrize("name", [*SAMPLE_FILES, "rllm", "art"])
def test_fixed_formats_take_no_mapping(name: str):
    with pytest.raises(ParameterError, match="fixed names"):
        read([SAMPLES / name], mapping={"columns": {"group_id": "x"}})
