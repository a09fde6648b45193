from __future__ import annotations

import pytest

from workbench.cli.tables import middle, table

IDS = [f"household-s0/task-{task}/rollout-{n}" for task in (10, 12) for n in (1, 2)]


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "50")


@pytest.mark.usefixtures("narrow")
def test_a_table_fits_the_terminal_and_ids_stay_apart():
    rows = [{"id": name, "value": 1234.5678, "text": "some words " * 9} for name in IDS]
    lines = table(rows).splitlines()
    assert max(map(len, lines)) <= 50
    # All ids begin with the same 19 characters, "household-s0/task-1", which may go.
    for name, line in zip(IDS, lines[1:], strict=True):
        assert name[19:] in line
        assert "1,235" in line
        assert line.endswith("…")


@pytest.mark.usefixtures("narrow")
def test_sentences_may_go_on_in_the_next_line():
    text = "one two three four five six seven eight nine ten eleven twelve thirteen"
    shown = table([{"name": "a", "text": text}], wrap=True)
    assert " ".join(shown.split()) == f"name text a {text}"
    assert max(map(len, shown.splitlines())) <= 50


@pytest.mark.usefixtures("narrow")
def test_numbers_are_never_cut_where_they_do_not_fit():
    rows = [{f"column {k}": 0.123456 for k in range(12)}]
    assert table(rows).splitlines()[1].split() == ["0.1235"] * 12


def test_a_piped_table_has_a_width_too(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    rows = [{"a": "some words " * 30, "b": "other words " * 30}]
    assert max(map(len, table(rows, width=500).splitlines())) <= 120


def test_what_differs_at_the_end_of_a_name_stays():
    assert middle("household-s0/task-18/rollout-1", 20, 18) == "househo…18/rollout-1"
    assert middle("short", 20, 0) == "short"
