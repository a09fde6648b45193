"""Damaged and hostile logs for every reader: read, or refused in words, and nothing else.

    python benchmarks/fuzz.py [--inputs 100000] [--seed 0] [--formats chat atif …]

Each input is a sample of tests/samples with one to three changes: a value of another type, a key
that is gone or there twice, lists and objects where none belong, columns of other types, bytes that
were flipped, cut or put in. It is imported with its format told and with its format found, with
4 GB of memory and 20 seconds of the processor. An outcome is "read", "refused" (a WorkbenchError)
or the place of a fault: any other exception, a limit that was reached. Exit status 1 where there is
a fault.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workbench.errors import MissingDependencyError, WorkbenchError
from workbench.readers import import_log
from workbench.readers.base import FORMATS

SAMPLES = Path(__file__).parents[1] / "tests" / "samples"
BESIDE = {"chat": "openai_chat.jsonl", "tau-bench": "tau_bench.json"}
MEMORY, SECONDS = 4 * 2**30, 20

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 7, 0.5, 1e308, -1e308, 10**30, 10**400, float("nan"), float("inf"),
    "", "word", "1", "true", "\x00", "\ud83d", "[]", "{}", "2026-01-01", [], {}, [None], [{}], [[]],
    [1, 2], ["a", ["b"]], {"a": 1}, {"": {}}, {"role": 7, "content": [1]}, {"reward": "x"},
)  # fmt: skip

_PUT_IN = (b"\0", b"\r", b"\n", b'"', b"{", b"[" * 5000, b"\xff\xfe", b",", b"9" * 400)


class LimitError(BaseException):
    """The time of one input is over."""


def deep(levels: int) -> Any:
    """A list in a list in a list."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def places(value: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every container of a value with each of its keys."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in inner:
        found.append((value, key))
        if isinstance(item, dict | list):
            places(item, found)
    return found


def change_value(value: Any, rng: random.Random) -> None:
    """One change somewhere in a JSON value, in place."""
    where = places(value, [])
    if not where:
        return
    holder, key = rng.choice(where)
    other, there = rng.choice(where)
    kind = rng.randrange(8)
    if kind <= 3:
        holder[key] = rng.choice(ODD)
    elif kind == 4:
        del holder[key]
    elif kind == 5:
        holder[key] = [holder[key]] if rng.random() < 0.5 else {"value": holder[key]}
    elif kind == 6:
        holder[key] = json.loads(json.dumps(other[there]))
    else:
        holder[key] = deep(rng.choice([5, 60, 900]))


def changed_json(content: bytes, rng: random.Random) -> bytes | None:
    """A JSON document or JSON lines with one value changed; None where it is neither."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    try:
        whole = [json.loads(text)]
        change_value(whole, rng)
        return json.dumps(whole[0] if whole else None).encode()
    except (ValueError, RecursionError):
        pass
    lines = text.splitlines()
    at = rng.randrange(len(lines)) if lines else 0
    try:
        record = [json.loads(lines[at])]
        change_value(record, rng)
        lines[at] = "\n".join(json.dumps(one) for one in record)
    except (ValueError, IndexError, RecursionError):
        return None
    return ("\n".join(lines) + "\n").encode()


def changed_table(path: Path, rng: random.Random) -> bytes | None:
    """A Parquet file with one column changed; None where it is no such file."""
    try:
        table = pq.read_table(path)
        names, rows = table.column_names, table.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError):
        return None
    if not names:
        return None
    at = rng.randrange(len(names))
    name = names[at]
    kind = rng.randrange(6)
    if kind == 0:
        table = table.remove_column(at)
    elif kind == 1:
        other = rng.choice(["", "a\x00b", "é", "reward", "messages", "x" * 300])
        table = table.rename_columns([*names[:at], other, *names[at + 1 :]])
    elif kind == 2:
        table = table.append_column(name, table.column(at))
    else:
        values = rng.choice(
            [
                pa.array([b"\xff\x00"] * rows),
                pa.array([None] * rows),
                pa.array([[1, None]] * rows),
                pa.array([{"a": [1], "b": "x"}] * rows),
                pa.array([0] * rows, pa.timestamp("us")),
                pa.array([1] * rows).cast(pa.decimal128(30, 2)),
                pa.array(["word"] * rows),
                pa.array([json.dumps(rng.choice(ODD))] * rows),
                pa.array([float("nan")] * rows),
                pa.array(["x"] * rows).dictionary_encode(),
                pa.array([True] * rows),
            ]
        )
        table = table.set_column(at, name, values)
    stream = pa.BufferOutputStream()
    pq.write_table(table, stream)
    return bytes(stream.getvalue())


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bytes of which some are others, gone or put in."""
    if not content:
        return b"\0"
    at = rng.randrange(len(content))
    kind = rng.randrange(5)
    if kind == 0:
        return content[:at]
    if kind == 1:
        return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]
    if kind == 2:
        some = rng.choice(_PUT_IN)
        return content[:at] + some + content[at:]
    end = min(len(content), at + rng.randrange(1, 200))
    return content[:at] + content[end:] if kind == 3 else content[:end] + content[at:]


def change(path: Path, rng: random.Random) -> None:
    """One change to a file."""
    content = path.read_bytes()
    if rng.random() < 0.2:
        path.write_bytes(changed_bytes(content, rng))
        return
    is_table = content[:4] == b"PAR1"
    changed = changed_table(path, rng) if is_table else changed_json(content, rng)
    path.write_bytes(changed_bytes(content, rng) if changed is None else changed)


def outcome(run: Callable[[], object]) -> str:
    """The outcome: "read", "refused", or the fault with its place."""

    def late(*_: object) -> None:
        raise LimitError

    # The processor's time, so that a busy machine makes no fault.
    signal.signal(signal.SIGPROF, late)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except MissingDependencyError:
        return "not installed"
    except WorkbenchError:
        return "refused"
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "/workbench/" in frame.filename] or frames
        last = own[-1]
        where = f"{last.filename.rpartition('/workbench/')[2]}:{last.lineno}"
        return f"{type(error).__name__} at {where}: {str(error)[:100]!r}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "read"


def main() -> int:
    """Tries the inputs and prints what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--inputs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", default=list(FORMATS))
    parser.add_argument("--keep", type=Path, help="a folder for one input of each fault")
    asked = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    logs = [
        (name, sample)
        for name in asked.formats
        for sample in [
            *([SAMPLES / BESIDE[name]] if name in BESIDE else []),
            *(sorted((SAMPLES / name).iterdir()) if (SAMPLES / name).is_dir() else []),
        ]
    ]
    counts: Counter[str] = Counter()
    faults: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(asked.inputs):
            rng = random.Random(f"{asked.seed} {number}")
            name, sample = logs[number % len(logs)]
            copy = Path(folder) / sample.name
            shutil.copytree(sample, copy) if sample.is_dir() else shutil.copy(sample, copy)
            files = [copy] if copy.is_file() else sorted(f for f in copy.rglob("*") if f.is_file())
            file = rng.choice(files)
            for _ in range(rng.choice([1, 1, 2, 3])):
                change(file, rng)
            told = {} if rng.random() < 0.5 else {"format": name}
            skip_bad = rng.random() < 0.3
            found = outcome(partial(import_log, [copy], skip_bad=skip_bad, **told))
            if found in {"read", "refused", "not installed"}:
                counts[found] += 1
            else:
                if not faults[name, found] and asked.keep:
                    kept = asked.keep / f"{len(faults):03}-{name}"
                    asked.keep.mkdir(parents=True, exist_ok=True)
                    shutil.copytree(copy, kept) if copy.is_dir() else shutil.copy(copy, kept)
                faults[name, found] += 1
            shutil.rmtree(copy) if copy.is_dir() else copy.unlink()
    said = ", ".join(f"{count:,} {what}" for what, count in counts.most_common())
    print(f"{asked.inputs:,} inputs, seed {asked.seed}: {said}, {sum(faults.values()):,} faults")
    for (name, found), count in faults.most_common():
        print(f"{count:>7,}  {name:<22} {found}")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
