"""Texts as the tokens that a policy would have seen, and logged tokens held against a tokenizer."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
import tiny_policy
from batches import exportable, made, message, step_row
from transformers import AutoTokenizer

from workbench.errors import EmptyBatchError, MissingInputError, ParameterError
from workbench.exporters import TARGETS, chat_template
from workbench.exporters.chat_template import Tokenizer
from workbench.exporters.checklist import checklist
from workbench.exporters.tokenise import _is_shown, _last_run, _prompt_and_reply

START, END = 2, 3  # <|im_start|>, <|im_end|>
WORD = {word: number for number, word in enumerate(dict.fromkeys(tiny_policy.WORDS))}


def ids(text: str) -> list[int]:
    return [WORD[word] for word in text.split()]


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_policy.tokenizer(tmp_path_factory.mktemp("tokenizer")))


def text_log(**columns: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        step_row("t", 0, 0.5, **columns),
        step_row("t", 1, -2.0, reward=1.0, **columns),
    ]
    texts = [("you see a drawer", "look drawer"), ("you see the key", "take key")]
    for row, (observation, action) in zip(rows, texts, strict=True):
        row |= {"observation": observation, "action": action}
    return made(rows)


def rows_of(
    tmp_path: Path,
    log: tuple[pl.DataFrame, pl.DataFrame],
    target: str = "weighted-batch",
    **options: Any,
) -> tuple[Any, list[dict[str, Any]]]:
    exporter = TARGETS[target]
    manifest = exporter(*exportable(log), tmp_path / "out", **options)
    return manifest, exporter.load(tmp_path / "out").to_dicts()


def test_exactly_the_replies_and_their_ends_are_trained(tmp_path: Path, named: str):
    manifest, (row,) = rows_of(tmp_path, text_log(), tokenizer=named)
    expected = [
        (START, 0), *((token, 0) for token in ids("user you see a drawer")), (END, 0),
        (START, 0), (WORD["assistant"], 0), *((t, 1) for t in ids("look drawer")), (END, 1),
        (START, 0), *((token, 0) for token in ids("user you see the key")), (END, 0),
        (START, 0), (WORD["assistant"], 0), *((t, 1) for t in ids("take key")), (END, 1),
    ]  # fmt: skip
    assert list(zip(row["input_ids"], row["loss_mask"], strict=True)) == expected
    assert [a for a, m in zip(row["advantages"], row["loss_mask"], strict=True) if m] == [
        *[0.5] * 3, *[-2.0] * 3]  # fmt: skip
    assert row["old_logprobs"] is None
    assert manifest.tokens["from"] == "text"
    assert manifest.tokens["tokenizer"] == manifest.tokenizer == named
    assert len(manifest.tokens["vocabulary_sha256"]) == 64
    assert manifest.tokens["drifting_steps"] == 0
    assert manifest.checks["prefix_property"] is True
    assert manifest.checks["logprobs_present"] is False


def test_a_reply_that_was_cut_has_no_end(tmp_path: Path, named: str):
    cut = step_row("t", 0, 1.0, finish_reason="length")
    cut |= {"observation": "you see a key", "action": "take"}
    _, (row,) = rows_of(tmp_path, made([cut]), tokenizer=named)
    assert row["input_ids"][-1] == WORD["take"]
    assert row["loss_mask"] == [0] * 9 + [1]


def test_a_logged_prompt_is_what_the_policy_read(tmp_path: Path, named: str):
    prompt = [message("system", "hold ."), message("user", "find the key")]
    row = step_row("t", 0, 1.0, messages=json.dumps(prompt)) | {"action": "look"}
    _, (out,) = rows_of(tmp_path, made([row]), tokenizer=named)
    assert out["input_ids"] == [
        START, *ids("system hold ."), END, START, *ids("user find the key"), END,
        START, *ids("assistant look"), END,
    ]  # fmt: skip


def test_a_reply_that_the_tokenizer_cannot_say_is_counted(tmp_path: Path, named: str):
    row = step_row("t", 0, 1.0) | {"observation": "you see", "action": "take zebra"}
    manifest, (out,) = rows_of(tmp_path, made([row]), tokenizer=named)
    assert out["input_ids"][-2] == WORD["<unk>"]
    assert manifest.tokens["drifting_steps"] == 1


@pytest.mark.parametrize("target", ["verl", "trl", "tinker", "skyrl", "rllm", "slime", "datasets"])
def test_every_target_takes_a_tokenised_log(tmp_path: Path, named: str, target: str):
    manifest, rows = rows_of(tmp_path, text_log(), target, tokenizer=named)
    assert manifest.token_level
    assert rows[0]["input_ids"][:6] == [START, *ids("user you see a drawer")]


def test_a_log_of_texts_needs_a_tokenizer(tmp_path: Path):
    with pytest.raises(MissingInputError, match=r"trajectory 't' step 0.*--tokenizer"):
        rows_of(tmp_path, text_log(), "verl")
    assert not (tmp_path / "out").exists()


def test_tokenizers_that_cannot_be_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "empty").mkdir()
    for name, reason in (
        (str(tmp_path / "empty"), "the folder has no tokenizer.json"),
        (str(tmp_path / "none"), "there is no such folder"),
        ("nobody/nothing", "not in the hub's cache, and the hub does not answer"),
    ):
        with pytest.raises(ParameterError, match=rf"no tokenizer can be loaded .*: .*{reason}"):
            rows_of(tmp_path, text_log(), tokenizer=name)
    plain = tiny_policy.tokenizer(tmp_path / "plain", template=None)
    with pytest.raises(ParameterError, match="has no chat template"):
        rows_of(tmp_path, text_log(), tokenizer=str(plain))
    picky = tiny_policy.tokenizer(
        tmp_path / "picky", template="{{ raise_exception('no user first') }}"
    )
    with pytest.raises(
        ParameterError,
        match=r"(?s)refuses conversations:.*of the roles user, assistant: no user first \(2 times",
    ):
        rows_of(tmp_path, text_log(), tokenizer=str(picky))
    assert not (tmp_path / "out").exists()


def token_log(response: list[int], **columns: Any) -> tuple[pl.DataFrame, pl.DataFrame]:
    return made([step_row("t", 0, 1.0, prompt_ids=[4, 5], response_ids=response, **columns)])


def test_logged_tokens_are_kept_and_held_against_the_tokenizer(tmp_path: Path, named: str):
    log = token_log(ids("take key"), tokenizer=named)
    manifest, (row,) = rows_of(tmp_path, log, tokenizer=named)
    assert row["input_ids"] == [4, 5, *ids("take key")]
    assert manifest.tokens["from"] == "log"
    assert manifest.tokens["drifting_steps"] == 0


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path, named: str):
    for other in ("!other", "other"):  # before and behind it in the alphabet
        with pytest.raises(ParameterError, match=rf"are of '{other}', not of .*'t' step 0"):
            rows_of(tmp_path, token_log([4], tokenizer=other), tokenizer=named)
    for foreign in ([4, 99_999], [4, -1]):
        with pytest.raises(ParameterError, match=r"are not among the \d+ .*trajectory 't' step 0"):
            rows_of(tmp_path, token_log(foreign), tokenizer=named)


def test_the_end_of_a_turn_is_what_the_template_puts_there(tmp_path: Path, named: str):
    assert Tokenizer.load(named).end_of_turn == "<|im_end|>"
    endless = tiny_policy.tokenizer(tmp_path / "endless", template="{{ messages[-1]['content'] }}")
    assert Tokenizer.load(str(endless)).end_of_turn == ""


def test_a_tokenizer_may_have_several_chat_templates(tmp_path: Path, named: str):
    several = {"default": tiny_policy.TEMPLATE, "tool_use": "{{ tools }}"}
    folder = tiny_policy.tokenizer(tmp_path / "several", template=several)
    identity, one = (Tokenizer.load(str(name)).identity for name in (folder, named))
    assert identity["vocabulary_sha256"] == one["vocabulary_sha256"]
    assert identity["chat_template_sha256"] != one["chat_template_sha256"]
    digest = hashlib.sha256(tiny_policy.TEMPLATE.encode()).hexdigest()
    assert one["chat_template_sha256"] == digest


# Roles, calls and tools go through the chat template.

OPEN = "<|im_start|>{{ m.role }}\n"
THOUGHT = "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
CALLS = (
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }}"
    " {{ c.function.arguments | tojson }}</tool_call>{% endfor %}"
)
OFFERED = "{% if tools %}tools: {{ tools | tojson }}\n{% endif %}"
ASKS = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
WITH_TOOLS = (
    OFFERED + "{% for m in messages %}" + OPEN + THOUGHT + "{{ m.content }}" + CALLS
    + "<|im_end|>\n{% endfor %}" + ASKS
)  # fmt: skip
WITH_MARKS = (
    OFFERED + "{% for m in messages %}" + OPEN + "{% if m.role == 'assistant' %}{% generation %}"
    + THOUGHT + "{{ m.content }}" + CALLS + "<|im_end|>{% endgeneration %}{% else %}"
    + "{{ m.content }}<|im_end|>{% endif %}\n{% endfor %}" + ASKS
)  # fmt: skip
# Drops the thoughts of all turns but the last, as reasoning models' templates do.
FORGETS = WITH_TOOLS.replace(
    "{% if m.reasoning_content %}", "{% if m.reasoning_content and loop.last %}"
)
PLAIN = "{% for m in messages %}" + OPEN + "{{ m.content }}<|im_end|>\n{% endfor %}" + ASKS
# Takes contents that are texts alone, and shows none that is a list.
STRICT = "{% for m in messages %}" + OPEN + "{{ '' + m.content }}<|im_end|>\n{% endfor %}" + ASKS
# Takes lists of parts alone.
PARTS = (
    "{% for m in messages %}" + OPEN + "{% for part in m.content %}{{ part.text }}{% endfor %}"
    "<|im_end|>\n{% endfor %}" + ASKS
)
# Counts the messages at the top, so that no prompt is the beginning of what follows.
UNSTABLE = "{{ messages | length }}" + WITH_TOOLS

CALL = {"id": "c", "type": "function", "function": {"name": "refund", "arguments": '{"order": 12}'}}
TOOLS = [{"type": "function", "function": {"name": "refund", "parameters": {}}}]
FIRST = [
    message("system", "Never refund twice."),
    message("user", "Refund order 12"),
    {"role": "assistant", "reasoning_content": "check first", "tool_calls": [CALL]},
]
SECOND = [
    {"role": "tool", "tool_call_id": "c", "content": '{"ok": true}'},
    message("assistant", "Done."),
]


def letters(folder: Path, template: str) -> str:
    """A tokenizer of bytes, under which every text comes back as it was."""
    from tokenizers import Tokenizer as Own
    from tokenizers import decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = Own(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    own.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    own.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=own,
        eos_token="<|im_end|>",
        additional_special_tokens=["<|im_start|>"],
    )
    fast.chat_template = template
    fast.save_pretrained(folder)
    return str(folder)


def conversation_log() -> tuple[pl.DataFrame, pl.DataFrame]:
    rows = [
        step_row("t", 0, 0.5, messages=json.dumps(FIRST), tools=json.dumps(TOOLS)),
        step_row("t", 1, -2.0, messages=json.dumps(SECOND)),
    ]
    return made(rows)


def trained(named: str, rows: list[dict[str, Any]]) -> list[str]:
    """The texts that are trained, stretch by stretch."""
    tokenizer = Tokenizer.load(named)
    found = []
    for row in rows:
        run: list[int] = []
        for token, mask in [*zip(row["input_ids"], row["loss_mask"], strict=True), (0, 0)]:
            if mask:
                run.append(token)
            elif run:
                found.append(run)
                run = []
    return tokenizer.texts(found)


REPLIES = [
    '<think>check first</think><tool_call>refund {"order": 12}</tool_call><|im_end|>',
    "Done.<|im_end|>",
]


@pytest.mark.parametrize("template", [WITH_TOOLS, WITH_MARKS])
def test_just_what_the_policy_wrote_is_trained(tmp_path: Path, template: str):
    named = letters(tmp_path / "tokenizer", template)
    manifest, rows = rows_of(tmp_path, conversation_log(), tokenizer=named)
    assert trained(named, rows) == REPLIES
    (text,) = Tokenizer.load(named).texts([rows[0]["input_ids"]])
    for said in ("Never refund twice.", "Refund order 12", '{"ok": true}', '"name": "refund"'):
        assert said in text
    marks = template == WITH_MARKS
    assert manifest.tokens["replies_found_by"] == ("generation marks" if marks else "renderings")
    assert manifest.tokens["not_shown"] == {}
    assert len(rows) == 1


def test_thoughts_that_a_template_forgets_are_trained_where_they_were_had(tmp_path: Path):
    named = letters(tmp_path / "tokenizer", FORGETS)
    manifest, rows = rows_of(tmp_path, conversation_log(), tokenizer=named)
    # The second prompt no longer begins with the first and its reply: one row per step.
    assert len(rows) == 2
    assert trained(named, rows) == REPLIES
    assert manifest.counts["trajectories_as_steps"] == 1


def test_a_template_that_does_not_show_all_is_refused(tmp_path: Path):
    named = letters(tmp_path / "tokenizer", PLAIN)
    with pytest.raises(ParameterError) as refused:
        rows_of(tmp_path, conversation_log(), tokenizer=named)
    for what in ("the call of 'refund'", "reasoning of a reply", "the tool 'refund'"):
        assert what in str(refused.value)
    assert "--template-loss allow" in str(refused.value)
    manifest, rows = rows_of(tmp_path, conversation_log(), tokenizer=named, template_loss="allow")
    (check,) = [check for check in checklist(manifest) if check.check == "Conversation"]
    assert check.verdict == "look"
    assert "does not show the call of 'refund' (1 time), reasoning" in check.says
    assert trained(named, rows) == ["<|im_end|>", "Done.<|im_end|>"]
    assert manifest.tokens["not_shown"] == {
        "the call of 'refund'": 1,
        "reasoning of a reply": 1,
        "the tool 'refund'": 1,
    }


@pytest.mark.parametrize("arguments", ['{"order": 12}', '{"of": [{"order": 12}]}'])
def test_a_template_that_leaves_out_arguments_of_a_call_is_refused(tmp_path: Path, arguments: str):
    named = letters(
        tmp_path / "tokenizer", WITH_TOOLS.replace("{{ c.function.arguments | tojson }}", "")
    )
    call = {**CALL, "function": {"name": "refund", "arguments": arguments}}
    first = [message("user", "Refund it"), {"role": "assistant", "tool_calls": [call]}]
    log = made([step_row("t", 0, 0.5, messages=json.dumps(first), tools=json.dumps(TOOLS))])
    with pytest.raises(ParameterError, match="arguments of a call of 'refund'"):
        rows_of(tmp_path, log, tokenizer=named)


def test_a_template_without_stable_prompts_is_refused(tmp_path: Path):
    named = letters(tmp_path / "tokenizer", UNSTABLE)
    with pytest.raises(ParameterError, match="renders a prompt differently once its reply follows"):
        rows_of(tmp_path, conversation_log(), tokenizer=named)


def test_a_plain_chat_goes_through_a_plain_template(tmp_path: Path):
    talk = [message("system", "ACME"), message("user", "Q"), message("assistant", "a")]
    named = letters(tmp_path / "tokenizer", PLAIN)
    log = made([step_row("t", 0, 1.0, messages=json.dumps(talk))])
    _, rows = rows_of(tmp_path, log, tokenizer=named)
    assert trained(named, rows) == ["a<|im_end|>"]


def test_a_content_of_text_parts_alone_is_one_text_for_a_template_of_texts(tmp_path: Path):
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    talk = [message("user", "Q"), {"role": "assistant", "content": parts}]
    named = letters(tmp_path / "tokenizer", STRICT)
    log = made([step_row("t", 0, 1.0, messages=json.dumps(talk))])
    _, rows = rows_of(tmp_path, log, tokenizer=named)
    assert trained(named, rows) == ["a\nb<|im_end|>"]
    assert json.loads(log[0]["messages"][0])[1]["content"] == parts  # the log keeps them


def test_parts_stay_parts_for_a_template_that_takes_nothing_else(tmp_path: Path):
    talk = [{"role": role, "content": [{"type": "text", "text": text}]}
            for role, text in (("user", "Q"), ("assistant", "a"))]  # fmt: skip
    named = letters(tmp_path / "tokenizer", PARTS)
    log = made([step_row("t", 0, 1.0, messages=json.dumps(talk))])
    _, rows = rows_of(tmp_path, log, tokenizer=named)
    assert trained(named, rows) == ["a<|im_end|>"]


def test_what_a_template_cannot_render_is_named_and_can_be_left_out(tmp_path: Path):
    image = {"type": "image_url", "image_url": {"url": "http://x/y.png"}}
    talks = [[{"role": "user", "content": content}, message("assistant", "a")]
             for content in ([image], "Q")]  # fmt: skip
    log = made([step_row(f"t{k}", 0, 1.0, messages=json.dumps(t)) for k, t in enumerate(talks)])
    named = letters(tmp_path / "tokenizer", STRICT)
    words = r"(?s)with a content of the type image.*trajectory 't0' step 0.*--template-loss allow"
    with pytest.raises(ParameterError, match=words):
        rows_of(tmp_path, log, tokenizer=named)
    manifest, rows = rows_of(tmp_path, log, tokenizer=named, template_loss="allow")
    assert [row["trajectory_id"] for row in rows] == ["t1"]
    assert manifest.dropped["template"] == {"groups": 1, "trajectories": 1, "steps": 1}
    (check,) = [check for check in checklist(manifest) if check.check == "Left out"]
    assert check.says == ("of 2 trajectories not in it: 1 (the chat template cannot render it)")
    manifest.require_balance()
    # The rehearsal tries one trajectory, here the one that cannot be rendered.
    options = {"tokenizer": named, "template_loss": "allow"}
    assert TARGETS["weighted-batch"].rehearse(log[0], **options)["tokenizer"]["tokenizer"] == named
    with pytest.raises(EmptyBatchError, match="refuses conversations"):
        rows_of(tmp_path / "none", made([step_row("t0", 0, messages=json.dumps(talks[0]))]),
                tokenizer=named, template_loss="allow")  # fmt: skip


def test_only_a_reply_that_was_cut_itself_loses_its_end(tmp_path: Path, named: str):
    def ends(*reasons: str | None, **last: Any) -> list[bool]:
        rows = [step_row("t", k, 1.0, finish_reason=each) for k, each in enumerate(reasons)]
        for row in rows:
            row |= {"observation": "you see", "action": "take"}
        rows[-1] |= last
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        manifest, (row,) = rows_of(
            folder, made(rows), unit="trajectory", tokenizer=named, template_loss="allow"
        )
        ids = row["input_ids"]
        kept = [ids[at + 1 : at + 2] == [END] for at, i in enumerate(ids) if i == WORD["take"]]
        assert manifest.tokens["cut_replies"] == kept.count(False)
        return kept

    # The reason of a trajectory, at its last step or at all, is that of the last reply.
    assert ends(None, "length") == [True, False]
    assert ends("length", "length") == [True, False]
    # A call that is whole was not cut: the limit came behind it, when its result was there.
    calls = [{"type": "function", "function": {"name": "take", "arguments": "{}"}}]
    reply = {"role": "assistant", "content": "take", "tool_calls": calls}
    whole = json.dumps([message("user", "you see"), reply])
    assert ends("length", messages=whole) == [True]


def test_the_reply_is_the_last_run_of_marked_tokens_without_its_end_where_it_was_cut():
    assert _last_run([0, 1, 1, 0, 1, 1, 0, 0]) == (4, 6)
    assert _last_run([1, 0, 1]) == (2, 3)
    assert _last_run([0, 0]) == _last_run([]) == (0, 0)

    class Marking:
        """A tokenizer whose template marks replies; each text is its ids."""

        marks_replies = True

        def marked(self, *_: Any) -> tuple[list[int], list[int]]:
            return [5, 6, 7, 8, 9], [0, 1, 0, 1, 1]

        def texts(self, given: list[list[int]]) -> list[str]:
            return [" ".join(map(str, one)) for one in given]

        def ids(self, given: list[str]) -> list[list[int]]:
            return [list(map(int, one.split())) for one in given]

    for was_cut, reply in ((False, [8, 9]), (True, [8])):
        found = _prompt_and_reply(cast(Tokenizer, Marking()), [], None, "", was_cut=was_cut)
        assert found == ([5, 6, 7], reply, False)


def test_a_tokenizer_is_asked_of_the_hub_alone_where_that_answers(
    monkeypatch: pytest.MonkeyPatch, named: str
):
    asked: list[dict[str, Any]] = []
    load = AutoTokenizer.from_pretrained

    def loads(_: str, **options: Any) -> Any:
        asked.append(options)
        return load(named)

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", loads)
    for answers in (True, False):
        monkeypatch.setattr(chat_template, "hub_answers", lambda answers=answers: answers)
        for name in ("somebody/something", named):
            Tokenizer.load(name)
    # A folder is never asked of the hub; code of a tokenizer is never run.
    assert [one["local_files_only"] for one in asked] == [False, True, True, True]
    assert {one["trust_remote_code"] for one in asked} == {False}


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ('say "é"', 'say "é"'),
        ('say "é"', r'{"a": "say \"\u00e9\""}'),
        ('say "é"', r'{"a": "say \"é\""}'),
        (1.5, '{"a": 1.5}'),
        (True, "true"),
    ],
)
def test_a_value_is_shown_as_it_is_or_as_either_json_writes_it(value: Any, rendered: str):
    assert _is_shown(value, rendered)
    assert not _is_shown(value, rendered.replace("e", "x").replace("5", "6").replace("say", "s"))
