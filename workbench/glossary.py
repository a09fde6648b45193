"""Glossary: the words of help texts, messages, pages and documents."""

from __future__ import annotations

GLOSSARY: dict[str, str] = {
    "step": (
        "One decision of the policy: its observation, its action, its reward. One row of the "
        "step log."
    ),
    "trajectory": "The steps of one rollout, in order. Also called a rollout.",
    "group": "Trajectories of the same task under the same policy version.",
    "live": "A group whose trajectories did not all earn the same.",
    "dead": "A group whose trajectories all earned the same: all failed, or all succeeded.",
    "credit": "Result of a method on a log: one advantage per step, as a sum of terms.",
    "advantage": (
        "Weight of a step in training: above 0 its tokens are made more likely, below 0 less."
    ),
    "term": (
        "A part of an advantage: factor · (score − baseline). GRPO has one, GiGPO and ProxMO "
        "have two: of the episode and of the step."
    ),
    "score": "Return or reward of a step or trajectory.",
    "baseline": "Expected score: a weighted mean over peers.",
    "peer": "A step, or trajectory, whose value enters another's baseline.",
    "singleton": "A step whose state occurs nowhere else in its group.",
    "anchor": (
        "A state that several steps of a group share, so that they can be compared; GiGPO's word."
    ),
    "key": (
        "A rule for which states, or actions, count as equal: `exact`, `normalised`, "
        "`similar`, and others."
    ),
    "embedder": (
        "The model that turns a state's text into a vector, so that near states can be found."
    ),
    "temperature": (
        "τ: how fast the weight of a peer falls with distance. Small: only the nearest count. "
        "Large: all count alike."
    ),
    "return": "Sum of the rewards from a step on, each discounted by γ per step.",
    "dialect": (
        "Field values under which a method gives the numbers of one code base, its "
        "peculiarities included: `grpo:verl-agent`."
    ),
    "trait": (
        "A named property of a method or dialect that the rules of a right method exclude, "
        "such as statistics over step rows; see the reference of traits."
    ),
    "psc": (
        "The field of ProxMO that sets its success-rate-aware modulation: the episode term is "
        "weighted by the success rate of the group, so rare successes and rare failures count "
        "more."
    ),
    "masked": (
        "A step that is not trained, as the log or you say; whether its trajectory counts in "
        "baselines is a second mark."
    ),
    "excluded": (
        "A trajectory without a usable reward: it has no credit and counts in no baseline."
    ),
    "effective peers": (
        "How many equal weights are worth as much as the weights of a baseline: (Σw)² / Σw²."
    ),
    "spread": "Where a credit puts its differences: between trajectories, or inside them.",
    "placebo": (
        "A quantity that should not matter, such as the length of a text, and how far the credit "
        "follows it."
    ),
    "workspace": (
        "A folder that keeps what was computed from a log, so that nothing is computed twice."
    ),
    "control": (
        "A credit that knows nothing of merit (random, step index, shuffled), as a bar for "
        "real ones."
    ),
    "oracle": "The true advantage, which only a simulated world knows.",
    "batch": (
        "Files for a trainer: rows with weights and masks, and a manifest that says how they "
        "were made."
    ),
}
"""Word -> meaning, the basic ones first; code in backquotes, as in Markdown."""
