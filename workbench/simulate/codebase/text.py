"""Text of a codebase task: shell commands, listings, test reports, diffs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from workbench.simulate.codebase.lexicon import LEXICON
from workbench.simulate.codebase.repository import Module, Repository
from workbench.simulate.codebase.states import UNPARSED, CodeStates, Command
from workbench.simulate.lexicon import Clause, Lexicon, Speaker
from workbench.simulate.model import END, Model


def command_text(command: Command, repository: Repository) -> str:
    """A command as the agent writes it, such as `pytest -q tests/test_search.py`."""
    verb, place, line = command
    if place < 0:
        return {
            "suite": "pytest -q",
            "diff": "git diff HEAD",
            "reset": "git reset --hard",
            "quarantine": "make quarantine",
            "submit": "submit",
        }[verb]
    module = repository.modules[place]
    return {
        "test": f"pytest -q {module.test}",
        "search": f"grep -rn {module.entry} src tests",
        "open": f"open {module.source.path}",
        "edit": f"edit 3:3\n{_written(module, line)}\nend_of_edit",
        "revert": f"git revert -n {module.commit}",
    }[verb]


def _written(module: Module, line: int) -> str:
    return (module.source.right, module.source.wrong, module.source.unparsed)[line]


@dataclass(frozen=True, kw_only=True)
class CodeNarrator(Speaker):
    """Words the observations of one task.

    An observation is the output of the command, the open file and how many files are changed.
    What was traced before and whether the suite ran since the last change it does not say.

    Args:
        states: All states of the task.
        model: The task's transitions.
        commands: The task's commands.
        paraphrase: Probability that an observation is reworded, in [0, 1].
        aliased: States whose observation shows no output and no prompt. (Z,) bool.
    """

    lexicon: ClassVar[Lexicon] = LEXICON
    states: CodeStates
    model: Model
    commands: Sequence[Command]
    aliased: npt.NDArray[np.bool_]

    def _opening(self) -> list[Clause]:
        """The issue, the last commits and the prompt; never aliased."""
        repository = self.states.repository
        named = [module.entry for module in repository.modules if module.told]
        bugs = len(repository.faulty)
        issue: Clause = (
            "issue",
            {
                "project": repository.project,
                "count": "1 test" if bugs == 1 else f"{bugs} tests",
                "told": f" Users complain about {' and '.join(named)}." if named else "",
            },
        )
        log = "\n".join(
            f"{module.commit} {module.source.name}: {module.source.change}"
            for module in repository.modules
        )
        return [issue, ("log", {"log": log}), self._prompt(self.states.start())]

    def _feedback(self, pair: int, outcome: int) -> list[Clause]:
        """Observation after a command; a timeout shows as such in an aliased state too."""
        if outcome == 1:
            return [("timeout", {})]
        next_state = int(self.model.next_state[pair, outcome])
        if next_state == END:
            return [("submit", {})]
        if self.aliased[next_state]:
            return [("vague", {})]
        command = self.commands[self.model.action[pair]]
        result = self._result(self.model.state_of(pair), command, next_state)
        return [result, self._prompt(next_state)]

    def _prompt(self, state: int) -> Clause:
        modules, opened = self.states.repository.modules, int(self.states.opened[state])
        changed = sum(self._changed(state))
        return (
            "prompt",
            {
                "file": modules[opened].source.path if opened < len(modules) else "none",
                "changed": str(changed) if changed else "none",
            },
        )

    def _changed(self, state: int) -> list[bool]:
        """Modules that differ from the last commit: the right ones of those that were wrong."""
        return [
            bool(right) == module.faulty
            for right, module in zip(
                self.states.right[state], self.states.repository.modules, strict=True
            )
        ]

    def _result(self, state: int, command: Command, next_state: int) -> Clause:
        """The output of a command that works."""
        modules = self.states.repository.modules
        match command.verb:
            case "suite" | "test" if self.states.quarantined[state]:
                return ("no_tests", {})
            case "quarantine" if self.states.quarantined[next_state]:
                return ("quarantine", {})
            case "suite" | "quarantine":
                return self._suite(state)
            case "reset":
                return ("reset", {"head": f"{modules[0].commit} {modules[0].source.change}"})
            case "diff":
                return ("diff", {"diff": self._diff(state)})
        return self._about_module(state, command, next_state)

    def _suite(self, state: int) -> Clause:
        modules, right = self.states.repository.modules, self.states.right[state]
        failures = [
            f"FAILED {module.test}::test_{module.entry}"
            for module, passes in zip(modules, right, strict=True)
            if not passes
        ]
        passed = str(len(modules) - len(failures))
        if not failures:
            return ("green", {"passed": passed})
        failed = str(len(failures))
        return ("red", {"failures": "\n".join(failures), "failed": failed, "passed": passed})

    def _diff(self, state: int) -> str:
        hunks = []
        for module, changed in zip(
            self.states.repository.modules, self._changed(state), strict=True
        ):
            if changed:
                lines = module.source.right, module.source.wrong
                new, old = lines if module.faulty else lines[::-1]
                hunks.append(f"+++ b/{module.source.path}\n@@ -3 +3 @@\n-{old}\n+{new}")
        return "\n".join(hunks) or "no changes"

    def _about_module(self, state: int, command: Command, next_state: int) -> Clause:
        """The output of a command about a module, its test, its entry or its commit."""
        verb, place, line = command
        module = self.states.repository.modules[place]
        source = module.source
        before, after = (bool(self.states.right[each, place]) for each in (state, next_state))
        written = source.unparsed if line == UNPARSED else source.right if after else source.wrong
        listing = [f"{row}:{text}" for row, text in enumerate((*source.head, written), 1)]
        words = {
            "path": source.path,
            "function": source.function,
            "test": module.test,
            "entry": module.entry,
            "commit": module.commit,
            "change": source.change,
            "line": written,
            "listing": "\n".join(listing),
            "symptom": source.symptom,
            "row": str(11 + 8 * place),
            "how": f"using={source.name}.{source.function}" if module.traceable else "*args",
            "passed": "1",
        }
        kinds = {
            "test": "green" if before else "traceback",
            "search": "matches",
            "open": "listing",
            "edit": "unparsed" if line == UNPARSED else "edited",
            "revert": "conflict" if before == after else "reverted",
        }
        return (kinds[verb], words)
