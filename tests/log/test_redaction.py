"""Redaction: rules, what they match, and what a shared log still says."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from logs import log

from workbench.errors import LogError, ParameterError
from workbench.log.redaction import LIKELY, Rule, matches, read_rules, redacted

KEY = "sk-" + "a1" * 12
TEXT = f"write to ann.b@mail.example.org with {KEY} and password: hunter2hunter2"


def described(text: str = TEXT) -> pl.DataFrame:
    return log({"g": {"a": [(text, "go", 1.0)], "b": [("plain", text, 0.0)]}})


def test_likely_secrets_are_found_by_their_form():
    found = {one.name: (one.distinct, one.steps) for one in matches(described())}
    # The same key, password and address stand in both steps.
    assert found == {"key": (1, 2), "password": (1, 2), "mail address": (1, 2)}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Authorization: Bearer abcdefghijklmnop0123", "token"),
        (f"eyJ{'a' * 12}.{'b' * 12}.{'c' * 5}", "token"),
        ("AKIA" + "ABCDEFGH12345678", "key"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----", "private key"),
        ('{"api_key": "abcdef1234567"}', "password"),
    ],
)
def test_each_kind_is_replaced_whole(text: str, name: str):
    given = described(text)
    assert [one.name for one in matches(given)] == [name]
    new, _ = redacted(given, LIKELY)
    assert matches(new) == []
    assert new["observation"][1] == "plain"


def test_prose_about_secrets_is_no_secret():
    assert (
        matches(described("The secret: never share a password or token, said sk-you @ home")) == []
    )


def test_values_inside_json_are_replaced_and_it_stays_json():
    messages = [
        {"role": "user", "content": f'say "{KEY}"\n'},
        {"role": "assistant", "content": "no"},
    ]
    given = described("x").with_columns(messages=pl.lit(json.dumps(messages)))
    new, found = redacted(given, LIKELY)
    assert [one.name for one in found] == ["key"]
    assert json.loads(new["messages"][0])[0] == {"role": "user", "content": 'say "[key]"\n'}
    assert new["reward"].to_list() == given["reward"].to_list()


def test_lists_of_texts_are_replaced_too():
    given = described("x").with_columns(stop=pl.Series([[KEY, "b"], None]))
    new, found = redacted(given, LIKELY)
    assert new["stop"].to_list() == [["[key]", "b"], None]
    assert [(one.name, one.steps) for one in found] == [("key", 1)]


def test_a_log_without_matches_is_the_same_object():
    given = described("nothing here")
    assert redacted(given, LIKELY)[0] is given


def test_ids_that_match_are_refused_with_their_rows():
    given = log({"g": {"ann@mail.example.org": [("x", "go", 1.0)], "b": [("y", "go", 0.0)]}})
    with pytest.raises(LogError, match=r"trajectory_id: a rule matches ids.*row 0"):
        redacted(given, LIKELY)


def test_token_ids_of_a_redacted_rollout_are_refused():
    ids = pl.Series([[1, 2], [3]], dtype=pl.List(pl.Int32))
    given = log({"g": {"a": [(TEXT, "go", 1.0)], "b": [("y", "go", 0.0)]}})
    given = given.with_columns(response_ids=ids)
    with pytest.raises(LogError, match="1 step has token ids that still spell"):
        redacted(given, LIKELY)


def test_rules_of_a_file_are_read_in_order(tmp_path: Path):
    path = tmp_path / "rules.txt"
    lines = "# mine\ncustomer = C-([0-9]{3}) → K$1\nlikely\ncity = (?i)berlin\n"
    path.write_text(lines, encoding="utf-8")
    rules = read_rules([path])
    assert rules[0] == Rule(name="customer", pattern="C-([0-9]{3})", replacement="K$1")
    assert rules[1:-1] == LIKELY
    assert rules[-1].replacement == "[city]"
    new, _ = redacted(described("C-123 in BERLIN"), rules)
    assert new["observation"][0] == "K123 in [city]"


def test_every_broken_rule_is_named_with_its_line(tmp_path: Path):
    path = tmp_path / "rules.txt"
    path.write_text("a = (\nno rule\nb = x*\nc = y\n", encoding="utf-8")
    with pytest.raises(ParameterError) as caught:
        read_rules([path])
    said = str(caught.value)
    assert f"{path}:1: '(' is no expression" in said
    assert f"{path}:2: 'no rule' is no rule" in said
    assert f"{path}:3: 'x*' matches an empty text" in said
    assert f"{path}:4" not in said


def test_missing_and_empty_files_of_rules_are_refused(tmp_path: Path):
    with pytest.raises(ParameterError, match=r"no file of rules.*likely"):
        read_rules([tmp_path / "none.txt"])
    empty = tmp_path / "empty.txt"
    empty.write_text("# nothing\n", encoding="utf-8")
    with pytest.raises(ParameterError, match="no rule in it"):
        read_rules([empty])
