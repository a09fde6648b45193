"""Facts of a log, and how they read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workbench.log.facts.trajectories import GROUP_KINDS
from workbench.wording import are, number_of


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Counts and shares of one step log; a share is null where nothing is there to count.

    Args:
        rows: Steps.
        groups: Groups.
        trajectories: Trajectories, excluded ones among them.
        excluded: Reason -> trajectories that are not scored.
        rollouts_per_group: Number of trajectories -> groups with that many.
        success: rate (of the known), known (scored trajectories), of (all that are scored), source:
            "success", "episode reward", "success, else episode reward" or null.
        mixed_outcome_groups: Groups with a known success and a known failure; null where success
            is not known.
        reward: kind ("terminal": nothing but 0 before the last step; "dense"), distinct (different
            step rewards), distinct_episode, minimum, maximum (of the episode reward).
        group_kinds: Key of `GROUP_KINDS` -> groups.
        lengths: minimum, median, mean, maximum steps per trajectory.
        singleton_rate: Share of scored steps whose exact observation occurs once in its group.
        singleton_rate_by_depth: The same by step_index, from "0" to "20+".
        mixed_policy_groups: Share of groups with more than one (model, policy_version); null where
            the log names neither.
        mixed_policies: The same in words; null where no group has several.
        observations: median, maximum (characters), empty (share).
        response_tokens: median, mean, maximum, total; null where not logged.
        copies: rows (that stand for more than one), extra (rows that were collapsed).
        token_ids: Share of steps with prompt and response ids.
        truncated: Share of all trajectories of which it is known that a limit cut them; null where
            none says it.
        truncated_known: Trajectories that say whether a limit cut them.
        finish_reasons: Why trajectories stopped -> how many did.
        uncounted: Trajectories outside the statistics of their group.
        untrained: Trajectories of which no step is trained.
        other_columns: Columns that the step log does not define.
    """

    rows: int
    groups: int
    trajectories: int
    excluded: Mapping[str, int]
    rollouts_per_group: Mapping[int, int]
    success: Mapping[str, Any]
    mixed_outcome_groups: int | None
    reward: Mapping[str, Any]
    group_kinds: Mapping[str, int]
    lengths: Mapping[str, float]
    singleton_rate: float | None
    singleton_rate_by_depth: Mapping[str, float]
    mixed_policy_groups: float | None
    mixed_policies: str | None
    observations: Mapping[str, float]
    response_tokens: Mapping[str, float] | None
    copies: Mapping[str, int]
    token_ids: float
    truncated: float | None
    truncated_known: int
    finish_reasons: Mapping[str, int]
    uncounted: int
    untrained: int
    other_columns: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        values = dataclasses.asdict(self)
        values["rollouts_per_group"] = {str(k): n for k, n in self.rollouts_per_group.items()}
        values["other_columns"] = list(self.other_columns)
        return values

    def lines(self) -> list[str]:
        """The facts for a reader, at most 25 lines."""
        return [f"{label:<22}{text}" for label, text in _labelled(self) if text]

    def details(self) -> list[tuple[str, str]]:
        """Label and text of those that neither the sentence nor a figure of the app tells."""
        return _the_rest(self)

    def sentence(self) -> str:
        """The main ones in words."""
        return _sentence(self)


def _share(value: float | None, of: str = "") -> str:
    return "not known" if value is None else f"{100 * value:.1f} %{of}"


def _labelled(facts: Facts) -> list[tuple[str, str]]:
    """Label and text of each line of the report; an empty text is left out."""
    f = facts
    reasons = "; ".join(f"{reason}: {count}" for reason, count in f.excluded.items())
    sizes = ", ".join(f"{n} × {size}" for size, n in list(f.rollouts_per_group.items())[:8])
    dead = [(kind, n) for kind, n in f.group_kinds.items() if n and kind != "live"]
    depths = ", ".join(f"{d}: {100 * r:.0f} %" for d, r in f.singleton_rate_by_depth.items())
    length = "min {minimum}, median {median:g}, mean {mean:.1f}, max {maximum}"
    tokens = "median {median:g}, mean {mean:.1f}, max {maximum}, total {total:,}"
    text = "median {median:g}, max {maximum} characters, " + _share(f.observations["empty"])
    origin = f" (by {f.success['source']})" if f.success["source"] else ""
    unknown = f.success["of"] - f.success["known"]
    part = f" of {number_of(f.success['known'], 'trajectory')}" if unknown else ""
    lacking = f"; not known of {unknown:,} of {f.success['of']:,}" if part and origin else ""
    of_groups = " of the groups"
    stops = ", ".join(f"{reason}: {n:,}" for reason, n in list(f.finish_reasons.items())[:8])
    apart = f"{f.uncounted:,} not counted in their group, {f.untrained:,} not trained"
    return [
        ("mixed policies", f.mixed_policies or ""),
        ("steps", f"{f.rows:,}"),
        ("trajectories", f"{f.trajectories:,}"),
        ("excluded", f"{sum(f.excluded.values()):,} ({reasons})" if reasons else "none"),
        ("groups", f"{f.groups:,}"),
        ("groups × rollouts", sizes + ", …" * (len(f.rollouts_per_group) > 8)),
        ("success", _share(f.success["rate"], part) + origin + lacking),
        (
            "mixed outcomes",
            "not known"
            if f.mixed_outcome_groups is None
            else "at least " * bool(lacking) + number_of(f.mixed_outcome_groups, "group"),
        ),
        ("reward", _reward_text(f.reward)),
        ("live groups", f"{f.group_kinds['live']:,}"),
        *((f"dead: {kind}", f"{n:,} ({GROUP_KINDS[kind]})") for kind, n in dead),
        ("steps per trajectory", length.format(**f.lengths)),
        ("singleton states", _share(f.singleton_rate, " of the steps")),
        ("  by step", depths),
        ("mixed policies", "" if f.mixed_policies else _share(f.mixed_policy_groups, of_groups)),
        ("observation", text.format(**f.observations) + " empty"),
        ("response tokens", tokens.format(**f.response_tokens) if f.response_tokens else ""),
        ("token ids", _share(f.token_ids, " of the steps")),
        ("truncated", _truncated_text(f)),
        ("finish reasons", stops + ", …" * (len(f.finish_reasons) > 8)),
        ("masked", apart if f.uncounted or f.untrained else ""),
        ("copies", f"{f.copies['extra']:,} in {f.copies['rows']:,} rows"),
        ("other columns", ", ".join(f.other_columns[:8]) + ", …" * (len(f.other_columns) > 8)),
    ]


def _truncated_text(facts: Facts) -> str:
    text = _share(facts.truncated, " of the trajectories")
    silent = facts.trajectories - facts.truncated_known
    if facts.truncated is None or not silent:
        return text
    return f"at least {text}; {silent:,} of {facts.trajectories:,} do not say"


def _reward_text(reward: Mapping[str, Any]) -> str:
    if reward["kind"] is None:
        return "not known"
    return (
        f"{reward['kind']}, {reward['distinct_episode']:,} different episode rewards "
        f"from {reward['minimum']:g} to {reward['maximum']:g}"
    )


def _the_rest(facts: Facts) -> list[tuple[str, str]]:
    """Label and text of facts that need no figure and stand in no sentence."""
    wanted = (
        "mixed outcomes",
        "reward",
        "mixed policies",
        "observation",
        "response tokens",
        "token ids",
        "truncated",
        "finish reasons",
        "masked",
        "copies",
        "other columns",
    )
    return [(label, text) for label, text in _labelled(facts) if label in wanted and text]


def _sentence(facts: Facts) -> str:
    """The main facts for someone who opens the log: how much, how well, what can be learned."""
    sizes = list(facts.rollouts_per_group)
    spread = f"× {sizes[0]}" if len(sizes) == 1 else f"of {min(sizes)} to {max(sizes)}"
    rate, live = facts.success["rate"], facts.group_kinds["live"]
    known, of = facts.success["known"], facts.success["of"]
    whose = f" of the {known:,} of {of:,} trajectories whose success is known" * (known < of)
    parts = [
        f"{number_of(facts.rows, 'step')} in {number_of(facts.trajectories, 'trajectory')}: "
        f"{number_of(facts.groups, 'group')} {spread} {'rollout' if sizes == [1] else 'rollouts'}",
        "Success is not known" if rate is None else f"{100 * rate:.1f} %{whose} succeed",
        f"{are(live, 'group')} live, {facts.groups - live:,} dead",
    ]
    if facts.excluded:
        parts.append(f"{number_of(sum(facts.excluded.values()), 'trajectory')} not scored")
    return ". ".join(parts) + "."
