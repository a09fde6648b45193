"""States of work on code by hand."""

from __future__ import annotations

from keyed import key


def test_code_states_are_files_touched_and_the_last_test_result():
    one = [
        ("Fix it", "open src/a.py"),
        ("def f(): …", "edit ./src/a.py"),
        ("edited", "pytest -q tests/test_a.py"),
        ("1 failed, 3 passed in 0.1s", "think"),
        ("ok", "pytest"),
        ("4 passed in 0.2s", "done"),
    ]
    # Nothing; a.py; the same; tests, failed; the same; passed.
    assert key("code", one) == [0, 1, 1, 2, 2, 3]
    # The order of touching does not matter, what was touched does.
    there = [("o", "cat x.py"), ("o", "cat y.py"), ("o", "z")]
    back = [("o", "cat y.py"), ("o", "cat x.py"), ("o", "z")]
    assert key("code", there, back) == [0, 1, 2, 0, 3, 2]


def test_code_patterns_are_the_users_to_set():
    one = [("o", "read cell A1"), ("o", "read cell A1"), ("score 3", "x")]
    assert key("code", one) == [0, 0, 0]
    spec = 'code:{"files": "[A-Z][0-9]+", "tests": "score [0-9]"}'
    assert key(spec, one) == [0, 1, 2]
