"""The columns of the step log, as data.

`STEP_LOG` is the whole definition: readers write these columns, `schema.validate` checks them, the
documents print them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

REWARDS_HINT = (
    "--rewards FILE.csv adds them, a table with the columns trajectory_id and reward (in Python "
    "`rewards=`)"
)
"""Hint on rewards for a log without any."""

Scope = Literal["step", "last step", "trajectory", "run"]
Form = Literal["steps", "chat"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of the step log.

    Args:
        name: Its name; a trailing `*` stands for any ending.
        dtype: Its polars type; other types are cast where nothing is lost.
        meaning: What it holds.
        required: Whether a log without it is refused.
        default: What fills missing values and a missing column; None leaves them.
        aliases: Other names in use; the first one present is renamed.
        negated: Other names whose truth is the opposite of this column's.
        bookkeeping: Whether it says where a row came from rather than what happened; two rows
            that differ only there are copies of one step.
        scope: The largest unit of which one value may hold: a record of a whole trajectory says
            columns of "trajectory" and "run" once, those of "last step" of its end.
        constant: Whether values that differ within a trajectory are refused.
        aligned_with: The list column that a list must be as long as.
        large: Whether it holds long texts or lists, of which rules ask only whether they are there
            and alike.
        asked_in: Forms that ask which name of a file means this column: those of "steps" (a table
            or lines of steps), those of "chat" (records of conversations).
        made_by: How a log without it gets it, where a mapping is not the only way.
    """

    name: str
    dtype: pl.DataType
    meaning: str
    required: bool = False
    default: object = None
    aliases: tuple[str, ...] = ()
    negated: tuple[str, ...] = ()
    bookkeeping: bool = False
    scope: Scope = "step"
    constant: bool = False
    aligned_with: str | None = None
    large: bool = False
    asked_in: tuple[Form, ...] = ()
    made_by: str = ""

    def matches(self, name: str) -> bool:
        """True if a column of this name is this column."""
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


_TEXT, _BOOL, _REAL = pl.String(), pl.Boolean(), pl.Float64()
_IDS = pl.List(pl.Int32)

STEP_LOG: tuple[Column, ...] = (
    Column(
        name="group_id",
        dtype=_TEXT,
        required=True,
        aliases=("uid",),
        meaning="Trajectories of the same task under the same policy version.",
        asked_in=("steps", "chat"),
    ),
    Column(
        name="trajectory_id",
        dtype=_TEXT,
        required=True,
        aliases=("traj_uid",),
        meaning="One rollout of the agent; unique in a log.",
        asked_in=("steps", "chat"),
    ),
    Column(
        name="step_index",
        dtype=pl.Int32(),
        required=True,
        aliases=("env_step",),
        meaning="0-based, contiguous; one decision of the policy.",
        asked_in=("steps",),
    ),
    Column(
        name="observation",
        dtype=_TEXT,
        required=True,
        aliases=("anchor_obs",),
        meaning="What was new to the policy at this step, before acting.",
        large=True,
        asked_in=("steps",),
    ),
    Column(
        name="action",
        dtype=_TEXT,
        required=True,
        meaning="Assistant text plus canonical JSON of its tool calls.",
        large=True,
        asked_in=("steps",),
    ),
    Column(
        name="reward",
        dtype=_REAL,
        required=True,
        aliases=("rewards",),
        meaning=(
            "Per step; outcome-only logs have the outcome on the last step and 0 before. "
            "Null means not logged and excludes the trajectory."
        ),
        asked_in=("steps", "chat"),
    ),
    Column(name="reward_source", dtype=_TEXT, meaning="terminal, dense or derived.", large=True),
    Column(
        name="reward_scale",
        dtype=_REAL,
        meaning="What one success is worth (10 in verl-agent); positive.",
        scope="trajectory",
        constant=True,
    ),
    Column(
        name="success",
        dtype=_BOOL,
        meaning=(
            "Whether the trajectory solved its task; null where unknown. Where a log says it of a "
            "part and every episode reward is 0 or 1, that says it of the others."
        ),
        scope="trajectory",
        constant=True,
        asked_in=("steps", "chat"),
    ),
    Column(
        name="task",
        dtype=_TEXT,
        meaning="The task in words.",
        scope="trajectory",
        large=True,
        asked_in=("steps", "chat"),
    ),
    Column(
        name="run_id",
        dtype=_TEXT,
        meaning="The training or evaluation run.",
        scope="run",
        large=True,
    ),
    Column(name="train_step", dtype=pl.Int64(), meaning="Optimiser step of the run.", scope="run"),
    Column(
        name="policy_version",
        dtype=pl.Int64(),
        meaning="Version of the weights that acted.",
        scope="run",
    ),
    Column(
        name="model",
        dtype=_TEXT,
        meaning="The model that acted.",
        scope="run",
        large=True,
        asked_in=("chat",),
    ),
    Column(
        name="tokenizer",
        dtype=_TEXT,
        meaning="The tokenizer of the token columns.",
        scope="run",
        large=True,
    ),
    Column(
        name="done", dtype=_BOOL, meaning="Whether the environment ended here.", scope="last step"
    ),
    Column(
        name="truncated",
        dtype=_BOOL,
        meaning=(
            "Whether a limit cut the trajectory here; not a failure by itself. Null means that it "
            "is not known, unless finish_reason says it."
        ),
        scope="last step",
        asked_in=("chat",),
    ),
    Column(
        name="finish_reason",
        dtype=_TEXT,
        meaning="Why generation or the episode stopped.",
        scope="last step",
    ),
    Column(
        name="valid_action",
        dtype=_BOOL,
        default=True,
        aliases=("action_valid", "is_action_valid"),
        meaning="Whether the environment could parse the action.",
        asked_in=("steps",),
    ),
    Column(
        name="gradient_mask",
        dtype=_BOOL,
        default=True,
        negated=("masked", "is_masked"),
        meaning="Whether the step takes part in the loss.",
        scope="trajectory",
    ),
    Column(
        name="in_group_statistics",
        dtype=_BOOL,
        default=True,
        meaning="Whether the trajectory counts in its group's statistics.",
        scope="trajectory",
        constant=True,
    ),
    Column(
        name="mask_reason",
        dtype=_TEXT,
        meaning="By which of its keys the log masks the trajectory; null where it does not.",
        scope="trajectory",
    ),
    Column(
        name="copies",
        dtype=pl.Int32(),
        default=1,
        aliases=("source_copies",),
        bookkeeping=True,
        meaning="How many identical rows this one stands for; only dialects weight by it.",
        scope="trajectory",
        asked_in=("steps", "chat"),
    ),
    Column(
        name="source_row",
        dtype=pl.Int64(),
        bookkeeping=True,
        meaning="Row position in the source; only order-dependent dialects read it.",
    ),
    Column(
        name="next_observation", dtype=_TEXT, meaning="What the environment answered.", large=True
    ),
    Column(
        name="response_tokens",
        dtype=pl.Int32(),
        aliases=("n_tokens",),
        meaning="Number of tokens that the policy wrote.",
        asked_in=("steps",),
    ),
    Column(
        name="episode_reward",
        dtype=_REAL,
        aliases=("episode_rewards", "episode_return"),
        meaning="Sum of the trajectory's rewards, kept as a check.",
        scope="trajectory",
        constant=True,
    ),
    Column(
        name="turn_reward",
        dtype=_REAL,
        meaning="Reward of the turn besides the outcome, for MT-GRPO; null where none was given.",
    ),
    Column(
        name="greedy_reward",
        dtype=_REAL,
        meaning="Reward of a greedy rollout of the same task, for ReMax.",
        scope="trajectory",
        constant=True,
    ),
    Column(
        name="aux_reward_*",
        dtype=_REAL,
        meaning="Further rewards of the trajectory by name, for GDPO.",
        scope="trajectory",
        constant=True,
    ),
    Column(name="critic_value", dtype=_REAL, meaning="A critic's value before the step."),
    Column(
        name="critic_value_low",
        dtype=_REAL,
        aliases=("value_low",),
        meaning="A critic's value once the subgoal is chosen, before the action; for HAE.",
    ),
    Column(
        name="critic_value_high",
        dtype=_REAL,
        aliases=("value_high",),
        meaning="A critic's value before a subgoal is chosen; known where one begins; for HAE.",
    ),
    Column(
        name="critic_value_switch",
        dtype=_REAL,
        aliases=("value_term",),
        meaning="A critic's value before the subgoal is kept or given up; for HAE.",
    ),
    Column(
        name="critic_value_action",
        dtype=_REAL,
        meaning="A critic's value of the text with the step's action in it, for C3.",
    ),
    Column(
        name="new_subgoal",
        dtype=_BOOL,
        meaning=(
            "Whether the step begins a new subgoal; where not logged, HAE reads it from `<switch>` "
            "in the action."
        ),
    ),
    Column(name="agent_id", dtype=_TEXT, meaning="Which agent acted.", scope="trajectory"),
    Column(name="role", dtype=_TEXT, meaning="The agent's role.", scope="trajectory"),
    Column(name="round", dtype=pl.Int32(), meaning="Round of a multi-agent exchange."),
    Column(
        name="node_id",
        dtype=_TEXT,
        meaning="Node of a rollout tree: one decision, shared by the rollouts forked behind it.",
        made_by="`workbench import FILE… --tree -o LOG` makes it where rollouts begin alike",
    ),
    Column(
        name="parent_id",
        dtype=_TEXT,
        meaning="The node before; told where a trajectory begins at a node of another one.",
    ),
    Column(
        name="tree_id",
        dtype=_TEXT,
        meaning="The rollout tree, where a group has several.",
        scope="trajectory",
    ),
    Column(
        name="replay_returns",
        dtype=pl.List(pl.Float64),
        meaning="Episode reward of each replay that went on right after this step.",
        large=True,
    ),
    Column(name="state_key", dtype=_TEXT, meaning="Equal keys mean equal states, if logged."),
    Column(
        name="logged_advantage",
        dtype=_REAL,
        aliases=("source_token_advantage",),
        meaning="The advantage that the trainer itself used.",
        asked_in=("steps",),
    ),
    Column(
        name="logged_token_advantage",
        dtype=pl.List(pl.Float32),
        meaning="The same, a token.",
        large=True,
        aligned_with="response_ids",
    ),
    Column(
        name="messages",
        dtype=_TEXT,
        meaning=(
            "JSON list of the messages that are new at this step, its reply last. A whole prompt, "
            "which ends with no reply, is read too and becomes that."
        ),
        large=True,
        asked_in=("chat",),
    ),
    Column(
        name="segment",
        dtype=pl.Int32(),
        meaning=(
            "Prompts before this one that did not continue the one before them; its first step "
            "holds its whole prompt."
        ),
    ),
    Column(
        name="tools",
        dtype=_TEXT,
        meaning="JSON of the tools that were offered, on the first step of a segment.",
        large=True,
    ),
    Column(name="prompt_ids", dtype=_IDS, meaning="Token ids of the prompt.", large=True),
    Column(name="response_ids", dtype=_IDS, meaning="Token ids after the prompt.", large=True),
    Column(
        name="response_mask",
        dtype=pl.List(pl.Int8),
        meaning="1 where the policy sampled the token of response_ids.",
        large=True,
        aligned_with="response_ids",
    ),
    Column(
        name="response_logprobs",
        dtype=pl.List(pl.Float32),
        meaning="Log-probability of each token of response_ids when it was sampled.",
        large=True,
        aligned_with="response_ids",
    ),
    Column(name="source_file", dtype=_TEXT, bookkeeping=True, meaning="File of the row."),
    Column(
        name="source_line", dtype=pl.Int64(), bookkeeping=True, meaning="Line in that file, from 1."
    ),
    Column(
        name="reconstructed",
        dtype=_TEXT,
        bookkeeping=True,
        meaning="What a reader inferred, since the file does not say it; null where it does.",
    ),
    Column(
        name="excluded",
        dtype=_TEXT,
        bookkeeping=True,
        meaning="Why the trajectory is not scored; null where it is.",
        scope="trajectory",
    ),
)

_SHORT = ("task", "run_id", "model", "tokenizer", "reward_source")
CONTENTS = frozenset(entry.name for entry in STEP_LOG if entry.large) - set(_SHORT)
"""Columns that hold what was said and read: nearly all of the memory that a log takes."""


SIMULATED = frozenset({"latent_state", "true_value", "true_advantage", "admissible_actions"})
"""Columns of a simulated log beyond those of the step log: what only a simulator knows."""


def known(name: str) -> Column | None:
    """The entry of `STEP_LOG` for a column name, or None for a column that is merely kept."""
    return next((column for column in STEP_LOG if column.matches(name)), None)


def column_table() -> Sequence[Mapping[str, Any]]:
    """`STEP_LOG` as rows for documents: name, type, required, default, aliases, meaning."""
    return [
        {
            "column": column.name,
            "type": str(column.dtype),
            "required": column.required,
            "default": column.default,
            "aliases": (*column.aliases, *(f"not {name}" for name in column.negated)),
            "meaning": column.meaning,
        }
        for column in STEP_LOG
    ]
