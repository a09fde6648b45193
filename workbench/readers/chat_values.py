"""Values of chat records, as far as a guess of what a key means depends on them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from workbench.log.verdicts import verdicts_of
from workbench.readers.chat_records import GROUPS, TRAJECTORIES
from workbench.readers.jsonfiles import Record
from workbench.readers.rows import is_number
from workbench.readers.votes import is_limit, is_true

GUESSES: Mapping[str, Sequence[str]] = {
    "group_id": GROUPS,
    "trajectory_id": TRAJECTORIES,
    "reward": ("reward", "rewards", "score", "success", "resolved", "target", "passed", "correct"),
    "success": ("success", "resolved", "target", "passed", "correct"),
}
"""Column -> keys that may hold it, the first that any record has a value for."""

CUT = ("is_truncated", "was_truncated", "timed_out", "timeout")
"""Keys of truth values that say that a limit cut the rollout."""

_UPDATES = (
    "train_step", "global_step", "global_steps", "training_step", "trainer_step", "optimizer_step",
    "update_step",
)  # fmt: skip
"""Keys of whole numbers that name the update in which a rollout was sampled."""

_MAYBE_UPDATES = ("update", "step", "iteration", "epoch")
"""Keys that name it in some sets and count something else in others."""

_UNCLEAR = {
    "mask": "may leave a rollout out or say that it is trained",
    "train": "may leave a rollout out or name a part of a data set",
    "weight": "may weight a rollout in the loss or something else",
}
"""Keys of truth values that may be masks -> what they may mean."""

_VERDICTS = frozenset({"resolved", "target", "passed", "correct"})
"""Keys that hold a verdict in some sets and something else in others."""

OF_RUNS = frozenset({"traj_id", "trial_id", "run_id", "session_id"})
"""Keys that name a trajectory only where no two rollouts of a task share a value."""

_WORDS = 8  # more texts than any set of verdicts has


class Seen:
    """Findings over the records of a file, as far as a guess depends on it."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self.found: set[str] = set()
        self.large: set[str] = set()
        self.words: dict[str, set[str]] = {}
        self._told = set(columns.values())
        self._group = columns.get("group_id")
        self._judged = {*GUESSES["reward"], *GUESSES["success"]}
        self._judged |= {columns[name] for name in ("reward", "success") if name in columns}
        self.graded: set[str] = set()
        self._no_verdicts: set[str] = set()
        self._count: dict[str, int] = {}
        self._ids: dict[str, set[int]] = {key: set() for key in OF_RUNS}
        self._ids_in_group: dict[str, set[int]] = {key: set() for key in OF_RUNS}
        self._update = columns.get("train_step")
        self._rollout = columns.get("trajectory_id")
        self._counted: dict[str, _Counted] = {}
        self._rollouts: set[int] = set()
        self._named = 0
        self._truths: dict[str, bool] = {}
        self._limits: set[str] = set()
        self._lists: dict[str, bool] = {}

    def add(self, record: Record, fields: Mapping[str, Any]) -> None:
        """Take note of a record."""
        for key in self._judged:
            value = fields.get(key)
            # A few words are a verdict; a text per record is none.
            if isinstance(value, str) and len(self.words.get(key, ())) < _WORDS:
                self.words.setdefault(key, set()).add(value.strip().lower())
            if key in _VERDICTS and not _may_be_verdict(value):
                self._no_verdicts.add(key)
            if key in _VERDICTS and type(value) in {int, float} and value == 0:
                self.graded.add(key)
        self._add_counted(fields)
        for key in (*CUT, *_UNCLEAR):
            if (value := fields.get(key)) is not None:
                self._truths[key] = self._truths.get(key, True) and is_true(value) is not None
        if isinstance(status := fields.get("status"), str) and is_limit(status):
            self._limits.add("status")
        if (value := fields.get("rewards")) is not None:
            is_list = isinstance(value, list) and all(type(item) in {int, float} for item in value)
            self._lists["rewards"] = self._lists.get("rewards", True) and is_list
        self.found |= {key for key, value in fields.items() if value is not None}
        self.large |= {key for key, value in record.items() if isinstance(value, list | dict)}
        for key in OF_RUNS:
            if (value := fields.get(key)) is not None:
                self._count[key] = self._count.get(key, 0) + 1
                self._ids[key].add(hash(str(value)))
                self._ids_in_group[key].add(hash((str(self._group_of(fields)), str(value))))

    def _add_counted(self, fields: Mapping[str, Any]) -> None:
        """Take note of what may be the number of an update."""
        group = str(self._group_of(fields))
        names = [self._rollout] if self._rollout else GUESSES["trajectory_id"]
        rollout = next((fields[key] for key in names if fields.get(key) is not None), None)
        if rollout is not None:
            self._named += 1
            self._rollouts.add(hash((group, str(rollout))))
        for key in (*_UPDATES, *_MAYBE_UPDATES, *([self._update] if self._update else [])):
            if (value := fields.get(key)) is not None:
                self._counted.setdefault(key, _Counted()).add(group, value)

    def update(self, told: Mapping[str, str]) -> str | None:
        """The key that names the update of a rollout: as mapped, or by its name and its values."""
        if "train_step" in told:
            return told["train_step"]
        sure = [key for key in _UPDATES if key in self._counted and self._counted[key].whole]
        if sure:
            return sure[0]
        # A count of steps or a number of the rollout repeats a rollout, or is another for each.
        if len(self._rollouts) < self._named:
            return None
        maybe = (key for key in _MAYBE_UPDATES if key not in told.values())
        return next((key for key in maybe if self._may_be_update(key)), None)

    def _may_be_update(self, key: str) -> bool:
        counted = self._counted.get(key)
        return counted is not None and counted.whole and 2 * len(counted.pairs) <= counted.records

    def unread(self, taken: Collection[str | None], has_reward: bool) -> list[str]:
        """Notices on keys whose values cannot be read as what they may mean.

        Args:
            taken: Keys that are read.
            has_reward: Another key holds the reward.
        """
        said = [
            f"{key!r} differs between records of a group and is not read: if it is the update in "
            "which they were sampled, name it with --map, as train_step, or put it into group_id"
            for key, counted in self._counted.items()
            if key not in taken and len(counted.pairs) > len(counted.groups)
        ]
        said += [
            f"{key!r} is not read: it {meaning}; with --map, as gradient_mask, true means that a "
            "rollout is trained; under the name is_masked, that it is left out"
            for key, meaning in _UNCLEAR.items()
            if self.holds_truths(key) and key not in taken
        ]
        for key in GUESSES["reward"]:
            if has_reward or key not in self.found | self.large:
                continue
            words = ", ".join(map(repr, sorted(self.words.get(key, ()))[:4]))
            of = f" ({words})" if words else ""
            said.append(
                f"{key!r} is not read as the reward: its values{of} are no verdicts of one set, "
                "such as yes and no; a number or another key can be named with --map, as reward"
            )
        return said

    def _group_of(self, fields: Mapping[str, Any]) -> Any:
        names = [self._group] if self._group else GUESSES["group_id"]
        return next((fields[key] for key in names if fields.get(key) is not None), None)

    def is_unique(self, key: str) -> bool:
        """True where no two records have the same value."""
        return len(self._ids[key]) == self._count.get(key)

    def fits(self, name: str, key: str) -> bool:
        """True where the values of a guessed key can be what the column means."""
        if name in {"reward", "success"} and key in _VERDICTS:
            return key not in self._no_verdicts and (
                key not in self.words or verdicts_of(self.words[key]) is not None
            )
        if name == "trajectory_id" and key in OF_RUNS:
            return len(self._ids_in_group[key]) == self._count[key]
        if key == "status":
            return key in self._limits
        return self._lists.get(key, True)

    def holds_truths(self, key: str) -> bool:
        """True if every value of a key that may be a flag is a truth value, and there is one."""
        return self._truths.get(key, False)


class _Counted:
    """The values of a key that may be numbers of updates, and in how many groups they stand."""

    def __init__(self) -> None:
        self.whole = True
        self.records = 0
        self.pairs: set[int] = set()
        self.groups: set[int] = set()

    def add(self, group: str, value: Any) -> None:
        """Take note of the value of a record."""
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        self.whole &= is_number and value == value // 1
        self.records += 1
        self.pairs.add(hash((group, str(value))))
        self.groups.add(hash(group))


def _may_be_verdict(value: Any) -> bool:
    if isinstance(value, str):
        return not is_number(value)
    return value is None or (isinstance(value, bool | int | float) and value in (-1, 0, 1))
