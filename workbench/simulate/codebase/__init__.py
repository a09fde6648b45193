"""A repository with failing tests: trace, edit, test, and submit. A held-out world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.errors import ParameterError
from workbench.simulate.base import Study, Task, check_dials, dial, world
from workbench.simulate.codebase.repository import draw_repository
from workbench.simulate.codebase.states import (
    admitted_commands,
    code_commands,
    code_model,
    code_states,
    informed_commands,
)
from workbench.simulate.codebase.text import CodeNarrator, command_text
from workbench.simulate.model import mixed_policy

STUDY = Study(
    base={},
    sweeps={
        "paraphrase": (0.0, 0.6, 1.0),
        "skill": (0.45, 0.75),
        "slips": (0.0, 0.2),
        "aliasing": (0.0, 0.5),
        "milestones": (0.5, 0.9),
    },
    trainable={"modules": 2, "bugs": 1},
)


@world("codebase", STUDY)
@dataclass(frozen=True, kw_only=True)
class Codebase:
    """Repositories in the manner of SWE-bench, whose failing tests hide where the fault is.

    This world is held out: no method, default or setting was chosen with its help. Measure on it,
    do not tune on it.

    The line of code that matters is wrong in some of the modules. Each module carries one tested
    feature, and nothing tells which; an issue names some of the features that fail. `pytest`
    names the failing tests, `pytest` of one file and sometimes `grep` trace the fault to its
    module, `open` shows the file, `edit` writes its line right, wrong, or is turned away by the
    linter. `git revert` of the module's last commit is a shorter way, but ends in a conflict for
    half of the faults, and spoils a sound module. Edits can be taken back, one by one or all at
    once by `git reset --hard`. `submit` ends the episode and pays 1 if every module is right,
    tested or not. `make quarantine` takes failing tests out of service, after which nothing fails
    and nothing that is submitted pays. So two commands cannot be undone; the others cost steps.

    What is wrong, what rests on it and which shortcuts work are facts of the task, the same in
    all rollouts of a group. The policy does not see them before they are revealed:

        π(a | z) = k · [a ∈ B(z)] / |B(z)| + (1 - k) / |A(z)|

    A(z) are the admissible commands and B(z) those of an expert who knows what the agent has found
    out, what it changed, and how the last run of the suite went. A task's k is `skill` plus a
    uniform draw from ±`skill_spread`, cut to [0, 1].

    Degenerate cases: with skill 0 every command is equally likely; with skill 1 and no spread only
    slips and the horizon make it fail; a horizon of `bugs` or less always fails. With aliasing 1
    only the first observation, timeouts and the end can be told from one another.

    Args:
        modules: Modules of the repository.
        bugs: How many of them are wrong, at most `modules`.
        horizon: Steps after which an episode is cut off.
        gamma: Discount of the true values; at 1 they are probabilities of success.
        skill: k above: 0 is blind, 1 does what an informed expert does.
        skill_spread: How far a task's k may lie from `skill`.
        slips: Probability that a command times out without effect, as the agent reads.
        aliasing: Share of latent states whose observation is cut: neither output nor prompt.
            Which ones is drawn once per task; a larger share contains a smaller one.
        paraphrase: Probability that an observation is reworded. Wording has its own random
            stream: the latent trajectories do not depend on this dial, nor on `aliasing`.
        milestones: Share of the reward that is paid for each faulty module when it is right, and
            taken back when it is not any more. At 0 only submitting a sound repository pays.

    Raises:
        ParameterError: A dial is out of its range, or there are more bugs than modules.

    Source:
        Jimenez et al., SWE-bench, https://arxiv.org/abs/2310.06770 (tasks); Yang et al.,
        SWE-agent, https://arxiv.org/abs/2405.15793 (commands and the linter's refusal).
    """

    name: ClassVar[str]
    study: ClassVar[Study]

    modules: int = dial(4, low=2, high=5)
    bugs: int = dial(2, low=1, high=3)
    horizon: int = dial(24, low=1, high=200)
    gamma: float = dial(1.0, low=0.0, high=1.0)
    skill: float = dial(0.6, low=0.0, high=1.0)
    skill_spread: float = dial(0.15, low=0.0, high=0.5)
    slips: float = dial(0.05, low=0.0, high=1.0, below_high=True)
    aliasing: float = dial(0.1, low=0.0, high=1.0)
    paraphrase: float = dial(0.3, low=0.0, high=1.0)
    milestones: float = dial(0.0, low=0.0, high=1.0, below_high=True)

    def __post_init__(self) -> None:
        """Check the dials."""
        check_dials(self)
        if self.bugs > self.modules:
            raise ParameterError(
                f"bugs must be at most the number of modules, got {self.bugs} in {self.modules}"
            )

    def task(self, index: int, rng: np.random.Generator) -> Task:
        """Draw one repository: its faults, its skill and which of its states are aliased."""
        repository = draw_repository(self.modules, self.bugs, rng)
        states, commands = code_states(repository), code_commands(self.modules)
        model = code_model(states, commands, slips=self.slips, milestones=self.milestones)
        skill = np.clip(self.skill + self.skill_spread * rng.uniform(-1.0, 1.0), 0.0, 1.0)
        best = informed_commands(states, commands)[admitted_commands(states, commands)]
        return Task(
            text=f"make the tests of {repository.project} pass and submit the change",
            start=states.start(),
            model=model,
            policy=mixed_policy(model, best, float(skill)),
            actions=[command_text(command, repository) for command in commands],
            narrator=CodeNarrator(
                states=states,
                model=model,
                commands=commands,
                paraphrase=self.paraphrase,
                aliased=rng.random(model.states) < self.aliasing,
            ),
        )
