"""The facts of a log in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from workbench.log.facts.trajectories import GROUP_KINDS
from workbench.wording import number_of

if TYPE_CHECKING:
    from workbench.log.facts.counts import Facts


def _share(value: float | None, of: str = "") -> str:
    return "not known" if value is None else f"{100 * value:.1f} %{of}"


def labelled(facts: Facts) -> list[tuple[str, str]]:
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
    return [
        ("steps", f"{f.rows:,}"),
        ("trajectories", f"{f.trajectories:,}"),
        ("excluded", f"{sum(f.excluded.values()):,} ({reasons})" if reasons else "none"),
        ("groups", f"{f.groups:,}"),
        ("groups × rollouts", sizes + ", …" * (len(f.rollouts_per_group) > 8)),
        ("success", _share(f.success["rate"]) + origin),
        ("mixed outcomes", f"{f.mixed_outcome_groups:,} groups"),
        ("reward", _reward_text(f.reward)),
        ("live groups", f"{f.group_kinds['live']:,}"),
        *((f"dead: {kind}", f"{n:,} ({GROUP_KINDS[kind]})") for kind, n in dead),
        ("steps a trajectory", length.format(**f.lengths)),
        ("singleton states", _share(f.singleton_rate, " of the steps")),
        ("  by step", depths),
        ("mixed policies", _share(f.mixed_policy_groups, " of the groups")),
        ("observation", text.format(**f.observations) + " empty"),
        ("response tokens", tokens.format(**f.response_tokens) if f.response_tokens else ""),
        ("token ids", _share(f.token_ids, " of the steps")),
        ("truncated", _share(f.truncated, " of the trajectories")),
        ("copies", f"{f.copies['extra']:,} in {f.copies['rows']:,} rows"),
        ("other columns", ", ".join(f.other_columns[:8]) + ", …" * (len(f.other_columns) > 8)),
    ]


def _reward_text(reward: Mapping[str, Any]) -> str:
    if reward["kind"] is None:
        return "not known"
    return (
        f"{reward['kind']}, {reward['distinct_episode']:,} different episode rewards "
        f"from {reward['minimum']:g} to {reward['maximum']:g}"
    )


def the_rest(facts: Facts) -> list[tuple[str, str]]:
    """Label and text of facts that need no figure and stand in no sentence."""
    wanted = (
        "mixed outcomes",
        "reward",
        "mixed policies",
        "observation",
        "response tokens",
        "token ids",
        "truncated",
        "copies",
        "other columns",
    )
    return [(label, text) for label, text in labelled(facts) if label in wanted and text]


def sentence(facts: Facts) -> str:
    """The main facts for someone who opens the log: how much, how well, what can be learned."""
    sizes = list(facts.rollouts_per_group)
    spread = f"× {sizes[0]}" if len(sizes) == 1 else f"of {min(sizes)} to {max(sizes)}"
    rate, live = facts.success["rate"], facts.group_kinds["live"]
    parts = [
        f"{number_of(facts.rows, 'step')} in {number_of(facts.trajectories, 'trajectory')}: "
        f"{number_of(facts.groups, 'group')} {spread} {'rollout' if sizes == [1] else 'rollouts'}",
        "Success is not known" if rate is None else f"{100 * rate:.1f} % succeed",
        f"{live:,} of the groups {'is' if live == 1 else 'are'} live, {facts.groups - live:,} dead",
    ]
    if facts.excluded:
        parts.append(f"{number_of(sum(facts.excluded.values()), 'trajectory')} not scored")
    return ". ".join(parts) + "."
