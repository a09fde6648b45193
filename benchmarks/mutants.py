"""Small changes to the numeric core and the exporters: does a test notice each?

    pip install cosmic-ray && python benchmarks/mutants.py [--points 400] [--seed 0] [--out FILE]

A point is a place of the code where an operator of cosmic-ray applies: another number, comparison
or arithmetic sign, `and` for `or`, a loop that never runs; and here also `any` for `all`, `min` for
`max`. Places are drawn with a seed over all modules, then one operator for each; a place is told by
what its line says, so that one stays drawn when code around it moves. The change is made in a copy
of the checkout, and tests run there until one fails: numbers by value, those that mirror the
module, those of the modules that import it, the contract of what it registers, and at last all
tests of its area and of those that are built on it. A mutant that survives is listed, to be read:
either a test is missing, or the change changes nothing. Results are appended to FILE, one JSON
object a line, and points that stand there are not tried again; with --again those that survived
are, and the last line of a point counts.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import contextlib
import hashlib
import json
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import parso
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names

ROOT = Path(__file__).parents[1]
SCOPE = ("methods", "states", "analysis/audit", "analysis/tuning", "exporters")
CONTRACTS = {"methods": "methods", "states": "methods", "exporters": "exporters"}
OF_STATES = ["proxmo", "hgpo"]  # methods that use similarities, and keys
BY_VALUE = {
    "methods": "tests/contracts/test_values.py",
    "states": "tests/contracts/test_values.py",
    "analysis/audit": "tests/analysis/audit/test_values.py",
    "analysis/tuning": "tests/analysis/tuning/test_values.py",
}
EXPORTED = ("test_exporters", "test_export_parts")
AREA = {  # what runs at last
    "methods": ["tests/methods", "tests/contracts/test_values.py"],
    "states": ["tests/states", "tests/methods", "tests/contracts/test_values.py", "tests/analysis"],
    "analysis": ["tests/analysis"],
    "exporters": ["tests/exporters", *(f"tests/contracts/{one}.py" for one in EXPORTED)],
}
# Of the processor, so that a busy machine kills no mutant; and on the clock, for one that waits.
SECONDS, SECONDS_OF_AREA, WAIT, MEMORY = 120, 900, 3600, 12 * 2**30
HEAVY = ("numpy", "polars", "pyarrow.parquet", "torch", "sklearn", "scipy.stats", "hypothesis")

# `|` in this code joins types, and decorators register: both are seen by the first import.
LEFT_OUT = ("RemoveDecorator", "Variable", "BitOr", "LShift", "RShift", "BitXor", "BitAnd")
# `is` for `==`, and back, says nothing of small numbers and None.
_SAMENESS = re.compile("_Is(Not)?_(?!Is)|(?<!Is|ot)_Is(Not)?$")
SWAPPED = {"any": "all", "all": "any", "min": "max", "max": "min"}
SWAPPED |= {"minimum": "maximum", "maximum": "minimum", "argmin": "argmax", "argmax": "argmin"}


class SwapNames(Operator):
    """`any` for `all`, `min` for `max`, and back, where they are called."""

    def mutation_positions(self, node: Any) -> Iterator[tuple[Any, Any]]:
        """The place of the node, if it is such a name that is called."""
        if isinstance(node, parso.python.tree.Name) and node.value in SWAPPED:
            after = node.get_next_leaf()
            if after is not None and after.value == "(":
                yield node.start_pos, node.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        """The other name."""
        return parso.python.tree.Name(SWAPPED[node.value], node.start_pos, prefix=node.prefix)

    @classmethod
    def examples(cls) -> Sequence[Any]:
        """None."""
        return ()


@dataclass(frozen=True, order=True)
class Point:
    """One operator at one place; in the order in which they are drawn."""

    drawn: str
    module: str
    line: int
    column: int
    operator: str
    occurrence: int


def operators() -> dict[str, Operator]:
    """The operators by name."""
    found = {
        name: get_operator(name)()
        for name in sorted(operator_names())
        if not any(part in name for part in LEFT_OUT) and not _SAMENESS.search(name)
    }
    return {**found, "swap-names": SwapNames()}


def not_run(source: str) -> set[tuple[int, int]]:
    """Lines and columns of annotations, which nothing reads when a function runs."""
    found: set[tuple[int, int]] = set()
    for node in ast.walk(ast.parse(source)):
        for part in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if part is not None:
                found |= {(n.lineno, n.col_offset) for n in ast.walk(part) if hasattr(n, "lineno")}
    return found


def points_of(module: str, ways: dict[str, Operator], seed: int) -> list[Point]:
    """One point for each place of a module."""
    source = sources(ROOT)[module]
    tree, skipped, lines = get_ast(source), not_run(source), source.splitlines()
    choices: dict[tuple[int, int], list[tuple[str, int]]] = defaultdict(list)
    for name, operator in ways.items():
        places = (at for node in ast_nodes(tree) for at in operator.mutation_positions(node))
        for number, (place, _) in enumerate(places):
            choices[place].append((name, number))
    found, same = [], Counter[str]()
    for line, column in sorted(choices):
        text = lines[line - 1].lstrip()
        # Frozen or not, a dataclass computes the same.
        if (line, column) in skipped or text.startswith("@dataclass"):
            continue
        said = f"{seed} {module} {column - len(lines[line - 1])} {text}"
        same[said] += 1
        drawn = hashlib.sha256(f"{said} {same[said]}".encode()).hexdigest()[:16]
        name, number = random.Random(drawn).choice(choices[line, column])
        found.append(Point(drawn, module, line, column, name, number))
    return found


def sample(scope: Sequence[str], points: int, seed: int) -> list[Point]:
    """Points drawn over all places of all modules, one operator a place."""
    ways = operators()
    within = tuple(f"workbench/{part}" for part in scope)
    modules = [module for module in sources(ROOT) if module.startswith(within)]
    return sorted(point for module in modules for point in points_of(module, ways, seed))[:points]


@cache
def sources(root: Path) -> dict[str, str]:
    """The text of every module of the package, by its path."""
    return {
        str(path.relative_to(root)): path.read_text(encoding="utf-8")
        for path in sorted((root / "workbench").rglob("*.py"))
    }


def mirrored(root: Path, module: str) -> str | None:
    """The test file that lies as the module does, if there is one."""
    path = root / "tests" / Path(module).relative_to("workbench")
    own = path.with_name(f"test_{path.name}")
    return str(own.relative_to(root)) if own.is_file() else None


def stages(root: Path, module: str) -> list[list[str]]:
    """Arguments of pytest for one module, what is quick and likely first; all of the area last."""
    name = module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    area = module.split("/")[1]
    users = [path for path, text in sources(root).items() if f"from {name} import" in text]
    users.sort(key=lambda path: not path.startswith(f"workbench/{area}/"))
    tests = list(dict.fromkeys(filter(None, (mirrored(root, one) for one in (module, *users)))))
    if not tests:
        folder = root / "tests" / Path(module).relative_to("workbench").parent
        tests = [str(one.relative_to(root)) for one in sorted(folder.glob("test_*.py"))]
    found = [tests[:1], tests[1:]] if mirrored(root, module) else [tests]
    names = [word for one in (module, *users) for word in registered(sources(root)[one], area)]
    names = names or OF_STATES * (area == "states")
    chosen = ["-k", " or ".join(names)] if names else []
    for part, by_value in BY_VALUE.items():
        if module.startswith(f"workbench/{part}/"):
            found.insert(0, [by_value, *chosen])
    if area in CONTRACTS and (names or area == "exporters"):
        few = ["-k", " or ".join(names[:3])] if names else []
        found.append([f"tests/contracts/test_{CONTRACTS[area]}.py", *few])
    return [stage for stage in found if stage] + [AREA[area]]


def registered(source: str, area: str) -> list[str]:
    """Names that a module registers, without what is no word for `-k`."""
    marks = {"methods": "@method(", "exporters": "name="}
    if area not in marks or marks[area] not in source:
        return []
    after = source.split(marks[area], 1)[1].split('"')
    return [after[1]] if len(after) > 1 and after[0].strip() == "" else []


def run_tests(folder: str, arguments: Sequence[str], seconds: int) -> None:
    """Runs tests in a folder and ends this process with pytest's exit status."""
    os.setsid()
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = folder
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    # What is loaded beforehand is not rewritten, and need not be.
    options = ["-x", "-q", "-W", "ignore:Module already imported"]
    options += [f"-pno:{plugin}" for plugin in ("cacheprovider", "cov", "anyio")]
    os._exit(int(pytest.main([*options, *arguments])))


def outcome(context: Any, folder: str, arguments: Sequence[str]) -> str:
    """One of "passed", "failed" and "too long"."""
    seconds = SECONDS_OF_AREA if arguments in AREA.values() else SECONDS
    process = context.Process(target=run_tests, args=(folder, list(arguments), seconds))
    process.start()
    process.join(WAIT)
    if process.is_alive():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.join()
        return "too long"
    # 5: no test was chosen.
    return "passed" if process.exitcode in {0, 5} else "failed"


class Trial:
    """A copy of the checkout in which mutants are tried, one after the other."""

    def __init__(self, copy: Path) -> None:
        self.copy, self.writes = copy, 0
        self.sound: set[tuple[str, ...]] = set()
        self.context = multiprocessing.get_context("forkserver")
        self.context.set_forkserver_preload([*HEAVY, "pytest", "__main__"])

    def write(self, path: Path, text: str) -> None:
        """Writes a module at a time of its own, by which its compiled file is told."""
        self.writes += 1
        path.write_text(text, encoding="utf-8")
        os.utime(path, (self.writes, self.writes))

    def fails(self, arguments: Sequence[str]) -> bool:
        """True where a test fails, or none ends in time."""
        return outcome(self.context, str(self.copy), arguments) != "passed"

    def require_sound(self, arguments: Sequence[str]) -> None:
        """Ends this run where tests fail in the copy as it is."""
        if tuple(arguments) not in self.sound and self.fails(arguments):
            raise SystemExit(f"without a change, tests fail: {' '.join(arguments)}")
        self.sound.add(tuple(arguments))

    def of(self, point: Point) -> dict[str, Any]:
        """What the tests say of one mutant."""
        path = self.copy / point.module
        source = path.read_text(encoding="utf-8")
        mutant = mutate_code(source, operators()[point.operator], point.occurrence)
        assert mutant is not None
        pairs = zip(source.splitlines(), mutant.splitlines(), strict=False)
        before, after = next(pair for pair in pairs if pair[0] != pair[1])
        said = {"found": "survived", "change": f"{before.strip()}  →  {after.strip()}"}
        began = time.monotonic()
        for stage in stages(self.copy, point.module):
            self.write(path, mutant)
            failed = self.fails(stage)
            self.write(path, source)
            if failed:
                self.require_sound(stage)
                said |= {"found": "killed", "by": " ".join(stage)}
                break
        return {**asdict(point), **said, "seconds": round(time.monotonic() - began, 1)}


def report(results: Sequence[dict[str, Any]]) -> None:
    """Prints counts by folder and the survivors."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for result in results:
        counts[str(Path(result["module"]).parent)][result["found"]] += 1
        counts["all"][result["found"]] += 1
    for folder, here in sorted(counts.items()):
        total = sum(here.values())
        print(
            f"{folder:<36} {here['killed']:>4} of {total:>4} killed, {here['killed'] / total:.0%}"
        )
    for result in results:
        if result["found"] == "survived":
            print(f"{result['module']}:{result['line']}  {result['change']}")


def main() -> int:
    """Tries the points, prints and stores what came of them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scope", nargs="*", default=SCOPE, help="folders or files of workbench/")
    parser.add_argument(
        "--share", default="1/1", help="part of the points, for runs side by side: 1/2 and 2/2"
    )
    parser.add_argument("--again", action="store_true", help="try those that survived once more")
    parser.add_argument("--seconds", type=float, help="try no more after so long")
    parser.add_argument("--out", type=Path, help="where results are, and go")
    asked = parser.parse_args()
    share, shares = map(int, asked.share.split("/"))
    known: dict[tuple[str, str], dict[str, Any]] = {}
    if asked.out and asked.out.exists():
        for line in asked.out.read_text(encoding="utf-8").splitlines():
            result = json.loads(line)
            known[result["drawn"], result["operator"]] = result
    chosen = sample(asked.scope, asked.points, asked.seed)[share - 1 :: shares]
    with tempfile.TemporaryDirectory(prefix="workbench-mutants-") as made:
        copy = Path(made) / "checkout"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*cache"))
        compileall.compile_dir(copy / "workbench", quiet=1)
        os.environ.setdefault("WORKBENCH_SHARED", str(ROOT.parent / "shared"))
        trial, began = Trial(copy), time.monotonic()
        for point in chosen:
            before = known.get((point.drawn, point.operator))
            if asked.seconds is not None and time.monotonic() - began > asked.seconds:
                break
            if before and not (asked.again and before["found"] == "survived"):
                continue
            known[point.drawn, point.operator] = result = trial.of(point)
            if asked.out:
                with asked.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(result, ensure_ascii=False) + "\n")
    found = (known.get((point.drawn, point.operator)) for point in chosen)
    report(sorted(filter(None, found), key=lambda result: (result["module"], result["line"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
