"""JSON text changed in one place and nowhere else."""

from __future__ import annotations

from workbench.exporters.splice import applied, elements, member, members, with_member


def test_a_member_is_spliced_in_or_replaced():
    text = ' {"a" : [1, {"b": 2}], "c":"}\\""}'
    start = text.index("{")
    assert [name for name, _, _ in members(text, start)] == ["a", "c"]
    array = member(text, start, "a")
    assert array is not None
    assert [text[i] for i in elements(text, array)] == ["1", "{"]
    assert member(text, start, "z") is None
    inner = text.index("{", start + 1)
    changes = [with_member(text, start, "c", "0"), with_member(text, inner, "d", "[]")]
    assert applied(text, changes) == ' {"a" : [1, {"b": 2, "d": []}], "c":0}'
