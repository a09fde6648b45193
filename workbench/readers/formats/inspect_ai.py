"""Inspect logs: `.eval` archives and `.json` files."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from workbench.log.conversation import canonical_json
from workbench.readers.base import SYSTEM, Diagnostics, Part, reader
from workbench.readers.bounds import BeyondBoundError
from workbench.readers.compression import unpacked
from workbench.readers.jsonfiles import Record, checked_record, json_object, leading_keys
from workbench.readers.mapping import refuse_mapping
from workbench.readers.messages import Turn, turns
from workbench.readers.rows import StepRows, checked_values, identity
from workbench.readers.scores import Words, reward_of

_ZIP = b"PK\x03\x04"
_CODECS = {zipfile.ZIP_DEFLATED: "deflate", 93: "zstd"}
"""Compression methods of zip entries by number, where `zipfile` need not know of them."""

_LOCAL_HEADER = 30  # bytes before the name of an entry
_ATTACHMENT = "attachment://"


@reader("inspect", description="Inspect logs, .eval or .json")
class Inspect:
    """Groups are samples of a task, a model and a run, trajectories their epochs.

    Steps are assistant messages. The reward is the sample's score, on the last step: letters and
    words by what they mean to Inspect (C is 1, P is 0.5, I and N are 0). Of several scores the
    first is taken and reported; a mapping may name another, such as `judge.style`; the others
    become `aux_reward_<name>`.
    A sample that ended in an error has no reward; one that a limit stopped is truncated.
    References to attachments are resolved. `source_line` counts the samples from 1.
    """

    def sniff(self, path: Path, head: bytes) -> bool:
        """An archive with a header or journal of an evaluation, or an object with one."""
        if head.startswith(_ZIP):
            names = _names(path)
            return "header.json" in names or "_journal/start.json" in names
        return {"version", "eval"} <= leading_keys(head)

    def read(self, path: Path, columns: Mapping[str, str]) -> Part:
        """The steps of all samples; `columns` may name the score that is the reward."""
        refuse_mapping(columns, "Inspect logs", but="reward")
        words = Words()
        part = self._read(path, columns, words)
        # Words that mean nothing together are seen at the end, and are then read as unknown.
        return self._read(path, columns, words) if words.settle() else part

    def _read(self, path: Path, columns: Mapping[str, str], words: Words) -> Part:
        diagnostics = Diagnostics()
        rows = StepRows(diagnostics)
        with path.open("rb") as file:
            is_archive = file.read(len(_ZIP)) == _ZIP
        log = _archive if is_archive else _document
        evaluation: Record | None = None
        for line, (name, record) in enumerate(log(path, diagnostics)):
            if evaluation is None:
                evaluation = record
                continue
            place = f"{path} record {line}" if name is None else f"{path} {name}"
            told = columns.get("reward")
            _add(
                rows,
                record,
                diagnostics,
                place,
                evaluation=evaluation,
                line=line,
                told=told,
                words=words,
            )
        return Part(frame=rows.frame(), diagnostics=diagnostics)


def _names(path: Path) -> frozenset[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return frozenset(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return frozenset()


def _document(path: Path, diagnostics: Diagnostics) -> Iterator[tuple[str | None, Record]]:
    """Header of the evaluation, then the samples of a `.json` log."""
    record = json_object(path, diagnostics)
    if record is None:
        return
    evaluation, samples = record.get("eval"), record.get("samples")
    if not isinstance(evaluation, dict):
        diagnostics.problem("eval", "is missing or no object", str(path))
        return
    if samples is None:
        diagnostics.drop("samples", f"there are none (status {record.get('status')!r})", str(path))
        return
    yield None, evaluation
    for line, sample in enumerate(samples if isinstance(samples, list) else [samples], start=1):
        place = f"{path} record {line}"
        checked = checked_record(sample, "", diagnostics, place)
        if checked is not None:
            yield None, checked


def _archive(path: Path, diagnostics: Diagnostics) -> Iterator[tuple[str | None, Record]]:
    """Header of the evaluation, then the samples of an `.eval` log, by name."""
    try:
        with zipfile.ZipFile(path) as archive, path.open("rb") as file:
            entries = {entry.filename: entry for entry in archive.infolist()}
            head = entries.get("header.json") or entries.get("_journal/start.json")
            if head is None:
                diagnostics.problem("file", "the archive has no header.json", str(path))
                return
            header = _entry(file, head, diagnostics, f"{path} {head.filename}")
            if header is None or not isinstance(header.get("eval"), dict):
                return
            yield None, header["eval"]
            for name in sorted(entries):
                if name.startswith("samples/") and name.endswith(".json"):
                    sample = _entry(file, entries[name], diagnostics, f"{path} {name}")
                    if sample is not None:
                        yield name, sample
    except zipfile.BadZipFile as error:
        diagnostics.problem("file", f"cannot be read as a zip archive ({error})", str(path))


def _entry(
    file: IO[bytes], entry: zipfile.ZipInfo, diagnostics: Diagnostics, place: str
) -> Record | None:
    """An entry of an archive as a JSON object.

    The entry is cut out by its own header, since `zipfile` reads no Zstandard before Python 3.14.
    """
    file.seek(entry.header_offset)
    header = file.read(_LOCAL_HEADER)
    lengths = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    file.seek(lengths, 1)
    packed = file.read(entry.compress_size)
    try:
        codec = _CODECS.get(entry.compress_type)
        content = unpacked(packed, codec, entry.file_size) if codec else packed
        if zlib.crc32(content) != entry.CRC:
            raise ValueError("its checksum is wrong")
        text = content.decode("utf-8")
        return checked_record(json.loads(text), text, diagnostics, place)
    except BeyondBoundError as error:
        diagnostics.problem("file", f"the entry {error}", place, error.hint)
        return None
    except (OSError, ValueError, RecursionError) as error:
        diagnostics.problem("file", "the entry cannot be read", f"{place} ({error})")
        return None


def _add(
    rows: StepRows,
    sample: Record,
    diagnostics: Diagnostics,
    place: str,
    *,
    evaluation: Record,
    line: int,
    told: str | None,
    words: Words,
) -> None:
    converters = {"id": identity, "epoch": identity, "uuid": identity}
    values = checked_values(sample, converters, diagnostics, place, optional={"uuid"})
    if values is None:
        return
    try:
        steps = inspect_turns(sample.get("messages"), sample.get("attachments"))
    except (ValueError, RecursionError) as error:
        diagnostics.problem("messages", str(error), place)
        return
    if not steps:
        diagnostics.drop("messages", "hold no assistant message, so no step", place)
        return
    scores = sample.get("scores")
    named = {
        name: score.get("value") if isinstance(score, dict) else score
        for name, score in (scores if isinstance(scores, dict) else {}).items()
    }
    reward, others = reward_of(named, told, diagnostics, place, words)
    if sample.get("error") is not None and reward is not None:
        diagnostics.notice("the sample ended in an error, so its score is not read", place)
        reward = None
    task, model = (_text(evaluation.get(key)) for key in ("task", "model"))
    run = _text(evaluation.get("run_id"))
    group = "/".join(filter(None, (task, model, values["id"])))
    limit = sample.get("limit")
    rows.add(
        steps,
        line=line,
        outcome=reward,
        fields={
            "group_id": group,
            "trajectory_id": values["uuid"]
            or "/".join(filter(None, (group, run, values["epoch"]))),
            "success": _verdict(named, reward),
            "task": _text(sample.get("input")),
            "run_id": run,
            "model": model,
            "epoch": values["epoch"],
            SYSTEM: run,  # another run of the same task and model is no further epoch
            **others,
        },
        last_fields={
            "truncated": limit is not None,
            "finish_reason": _text(limit.get("type")) if isinstance(limit, dict) else None,
        },
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _verdict(scores: Mapping[str, Any], reward: float | None) -> bool | None:
    """Success of the sample, where its one score is a verdict and no graded number."""
    verdict = isinstance(next(iter(scores.values()), None), str | bool) and len(scores) == 1
    return None if reward is None or not verdict else reward == 1.0


def inspect_turns(messages: Any, attachments: Any = None) -> list[Turn]:
    """The steps of messages as Inspect keeps them.

    Args:
        messages: Chat messages whose tool calls have `function` and `arguments`, and whose
            content may hold reasoning, which is kept besides the content.
        attachments: Hash -> text that a message refers to as `attachment://<hash>`.

    Raises:
        ValueError: They are no messages.
    """
    if not isinstance(messages, list) or not all(isinstance(item, dict) for item in messages):
        raise ValueError("are no list of messages")
    texts = attachments if isinstance(attachments, dict) else {}
    return turns([_chat(_resolved(message, texts)) for message in messages])


def _resolved(value: Any, texts: Mapping[str, Any]) -> Any:
    if isinstance(value, str) and value.startswith(_ATTACHMENT):
        return texts.get(value.removeprefix(_ATTACHMENT), value)
    if isinstance(value, list):
        return [_resolved(item, texts) for item in value]
    if isinstance(value, dict):
        return {key: _resolved(item, texts) for key, item in value.items()}
    return value


def _chat(message: Record) -> Record:
    chat = dict(message)
    if isinstance(message.get("content"), list):
        parts = message["content"]
        thoughts = [
            part for part in parts if isinstance(part, dict) and part.get("type") == "reasoning"
        ]
        chat["content"] = [part for part in parts if part not in thoughts]
        if thoughts:
            chat["reasoning"] = thoughts
    calls = message.get("tool_calls")
    if isinstance(calls, list):
        chat["tool_calls"] = [
            {"id": call.get("id"), "name": call["function"], "arguments": call.get("arguments")}
            if isinstance(call, dict) and isinstance(call.get("function"), str)
            else call
            for call in calls
        ]
    error = message.get("error")
    if message.get("role") == "tool" and error and not message.get("content"):
        chat["content"] = error.get("message") if isinstance(error, dict) else canonical_json(error)
    return chat
