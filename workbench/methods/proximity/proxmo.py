"""ProxMO: success-weighted group credit plus a comparison weighted by proximity."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from workbench.errors import MissingInputError, ParameterError
from workbench.log.credit import Peers, Term
from workbench.log.segments import segment_constant, segment_mean, segment_std
from workbench.log.steps import Real, Steps, Truth
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.anchor import anchor_term
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod, Scaled, StateKeyed, StepMethod
from workbench.methods.parts.scores import EpisodeScores
from workbench.methods.parts.success import (
    success_rate,
    success_weight,
    trajectory_success,
    worth_of_success,
)
from workbench.parameters import parameter
from workbench.states.keys import parse_state_key
from workbench.states.proximity import peer_weights, proximity_baselines
from workbench.states.space import Space
from workbench.states.temperatures import STOPS, octaves
from workbench.wording import number_of

_PAPER_BETA = {"beta": 0.1}
_NO_PSC = {"psc": "off"}
_MEAN_MODE = {"peers": "same_state"}
_STD_MODE = {"peers": "same_state", "episode_norm": "std", "step_norm": "std"}


def _golden() -> dict[str, Golden]:
    modes: dict[str, dict[str, Any]] = {
        "proxmo_soft": {},
        "proxmo_soft_paperbeta": _PAPER_BETA,
        "proxmo_soft_nopsc": _NO_PSC,
        "proxmo_mean_psc": _MEAN_MODE,
        "proxmo_std_psc": _STD_MODE,
    }
    golden = {}
    for column, params in modes.items():
        golden[column] = Golden(params=params)
        golden[f"{column}__episode"] = Golden(params=params, term="episode")
        golden[f"{column}__step"] = Golden(params=params, term="step")
    for temperature in (0.05, 1.0):
        params = {"temperature": temperature}
        golden[f"psa_tau{temperature}"] = Golden(params=params, term="step")
    golden["proxmo_p"] = Golden(output="success_rate")
    return golden


@method(
    "proxmo",
    summary="w(R, p) · GRPO's term + ω · (G − softmax(similarity / τ)-weighted mean of G)",
    source="arXiv 2602.19225",
    needs=("similarity",),
    traits=("mixed-scale",),
    dialects=(
        Dialect(
            name="reference",
            invalid_penalty=0.1,
            source="GithubX-F/ProxMO-RL proxmo/core_proxmo.py",
            fields={
                "beta": 0.05 / (1.0 / (1.0 + math.exp(-1.0)) - 0.5),
                "episode_norm": "mean",
                "psc": "on",
                "psc_rate": "mean_score",
                "reward_scale": 1.0,
                "embedder": "tfidf-proxmo",
                "without_words": "zero",
                "population": "steps",
                "group_of_one": "raw",
                "count_copies": True,
            },
            traits=(
                "steps-population",
                "counts-copies",
                "raw-group-of-one",
                "couples-groups",
                "mixed-scale",
            ),
            golden=_golden(),
        ),
        Dialect(
            name="same-step",
            source="arXiv 2602.19225, equation 10 as one reader has it",
            fields={"peers": "same_step"},
            traits=("position-baseline", "mixed-scale"),
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class ProxMO(Scaled, StepMethod, StateKeyed, GroupMethod):
    """Proximity-based credit: every step of the group is a peer, near ones more than far ones.

        R, r  in units of one success: divided by reward_scale
        p     success rate of the group's trajectories
        w     = 1 + β(σ((1−p)^α) − ½) on success, 1 + β(σ(−p^α) − ½) on failure    (PSC)
        E_i   = w(R_i, p) · (R_i − μ_g)/(σ_g + eps)
        G_t   = r_t + γ G_{t+1}
        S_i   = G_i − Σ_j softmax_j(sim(o_i, o_j)/τ) · G_j       over the steps of the same group
        A_i   = E_i + ω S_i

    Success is the log's `success`, else the reward where a group's rewards are all 0 or 1, else
    reward ≥ success_threshold where that is given. `psc="auto"` leaves w at 1 in groups where
    success is not defined and says so in the notes; "on" refuses.

    Degenerate cases: equal rewards of a group give an episode term of exactly 0, equal returns a
    step term of exactly 0, as does a step without peers; a group of one has an episode term of 0.
    A state text without a token has similarity 0 to every text under `tfidf`.

    **Conventions**: episode statistics over trajectories, ddof 1, eps 1e-6; the invalid penalty is
    in units of one success; peers all steps of the
    group at any time, self included, because that is what bears the name. A step's own trajectory
    says nothing independent about it: `peers="other_trajectories"` leaves it out. `same_state`
    takes only steps in the same state under `state_key`, equally weighted (GiGPO's step term).
    `step_norm="std"` divides by the deviation of the group's returns, or of the anchor group's
    under `same_state`.

    **Differs from** the released code (dialect `reference`), which has p as the clamped mean of
    penalised scores over step rows, no deviation in the episode term, β = 0.05/(σ(1) − ½), and a
    TF-IDF fitted on the whole batch that drops one-character words. The paper's body could not be
    read: α 4, β 0.1, τ 0.1, γ 0.95, ω 1 are reported at second hand, and the figures in the
    authors' README fit β 0.2164 instead.

    Source: arXiv 2602.19225.
    """

    temperature: float = parameter(
        0.1, "τ, how fast weight falls with distance", minimum=0.0, minimum_exclusive=True
    )
    peers: Literal["all", "other_steps", "other_trajectories", "same_step", "same_state"] = (
        parameter("all", "which steps of the group make a step's baseline")
    )
    state_key: str = parameter(
        "exact",
        "key by which steps are in the same state, where peers is same_state",
        parse=parse_state_key,
    )
    psc: Literal["auto", "on", "off"] = parameter(
        "auto", "whether success weights the episode term"
    )
    alpha: float = parameter(4.0, "α, how sharply w depends on the success rate", minimum=0.0)
    beta: float = parameter(0.1, "β, how far w goes from 1", minimum=0.0)
    psc_rate: Literal["success", "mean_score"] = parameter(
        "success", "p: the share of successful trajectories, or the clamped mean score"
    )
    success_threshold: float | None = parameter(None, "reward from which on a trajectory succeeds")
    episode_norm: Literal["std", "mean"] = parameter(
        "std", "whether the episode term is divided by the group's deviation"
    )
    step_norm: Literal["none", "std"] = parameter(
        "none", "whether the step term is divided by the deviation of returns"
    )
    embedder: str | None = parameter(
        None, "representation that this method brings itself; null takes the one in use"
    )
    without_words: Literal["mean", "zero"] = parameter(
        "mean",
        "step term where no state of the batch has a vector other than 0: against the mean of the "
        "group, or 0",
    )

    tunable: ClassVar[str] = "temperature"
    tunable_symbol: ClassVar[str] = "τ"
    of_baseline: ClassVar[frozenset[str]] = frozenset(
        {
            "count_copies",
            "embedder",
            "gamma",
            "invalid_penalty",
            "peers",
            "reward_scale",
            "state_key",
        }
    )
    """The fields, besides the temperature, on which the step term's baseline depends."""

    def candidates(self, space: Space) -> Sequence[float]:
        """Temperatures to try: eighths of an octave from 0.01 to 10."""
        return STOPS

    def target(self, steps: Steps) -> Real:
        """Discounted return of each step in units of one success, less its penalty. (S,)."""
        return self.step_score(steps, self.worth(steps)[steps.trajectory])

    def baselines(self, steps: Steps, space: Space, temperatures: Sequence[float]) -> Real:
        """Baseline of the step term at other temperatures; a new τ costs no new similarity.

        Equal returns of a group, and a step without peers, have their own return as baseline.

        Args:
            steps: The steps.
            space: Where they are scored.
            temperatures: τ > 0; the method's own is not among them by itself. (K,)

        Returns:
            (K, S) float64.

        Raises:
            ParameterError: Peers are `same_state`, which has no temperature.
        """
        if self.peers == "same_state":
            raise ParameterError("peers=same_state has no temperature")
        score, weight = self.target(steps), self.peer_weight(steps)
        group, groups = steps.group, steps.groups
        # Centring costs nothing and leaves equal returns without a trace of rounding.
        centre = segment_mean(score, group, groups, weight)[group]
        similarity = space.similarity(self.embedder)
        baseline, has_peers = proximity_baselines(
            similarity,
            steps,
            score - centre,
            weight,
            temperatures=temperatures,
            peers=self.peers,
        )
        baseline += centre
        own = ~has_peers | segment_constant(score, group, groups)[group]
        baseline[:, own] = score[own]
        return baseline

    def held_out_baselines(
        self, steps: Steps, space: Space, score: Real, weight: Real, values: Sequence[float]
    ) -> Iterator[tuple[int, Real]]:
        """The proximity baseline over the other trajectories alone, at each temperature.

        Yields:
            Place of a temperature, and the baseline under it (S,) float64.
        """
        similarity = space.similarity(self.embedder)
        for chain in octaves(values):
            baselines, _ = proximity_baselines(
                similarity,
                steps,
                score,
                weight,
                temperatures=[values[k] for k in chain],
                peers="other_trajectories",
            )
            yield from zip(chain, baselines, strict=True)

    def turn_baseline(self) -> Literal["position-baseline", "counts-own-turns"] | None:
        """The position's, where only steps of the same index are peers."""
        return "position-baseline" if self.peers == "same_step" else None

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """The episode term and the step term."""
        scale = self.worth(steps)
        scores = episode_scores(self, steps, scale)
        rate, success, defined = self._success(steps, scores)
        weight = np.where(defined, success_weight(rate, success, self.alpha, self.beta), 1.0)
        episode = episode_term(
            self, steps, scores, norm=self.episode_norm, eps=self.eps, factor=weight
        )

        outputs = {"success_rate": np.where(defined, rate, np.nan)}
        weighted = replace(episode, outputs=outputs).with_facts(
            lambda step: {
                "success_rate": float(rate[step]) if defined[step] else None,
                "psc_weight": float(weight[step]),
            }
        )
        return {"episode": weighted, "step": self._step_term(steps, space, scale)}

    def notes(self, steps: Steps) -> Sequence[str]:
        """Say where `psc="auto"` left the weight at 1, and where rewards want a scale."""
        notes = []
        if self.psc == "auto":
            _, _, defined = self._success(steps, episode_scores(self, steps, self.worth(steps)))
            left_out = len(np.unique(steps.group[~defined]))
            if left_out:
                notes.append(
                    f"success is not defined in {left_out} of {number_of(steps.groups, 'group')}, "
                    "so their episode terms carry no success weight (psc=auto); set "
                    "success_threshold to define it"
                )
        worth = worth_of_success(steps)
        if worth is not None and np.any(self.worth(steps) != worth):
            notes.append(
                f"a success pays {worth:g} here, and rewards are not scaled by that; "
                f"set reward_scale={worth:g} for credit in units of one success"
            )
        return notes

    def needs(self) -> Sequence[str]:
        """Similarities, unless peers are the steps in the same state."""
        return ("keys", *self.needs_of_keys()) if self.peers == "same_state" else ("similarity",)

    def _success(self, steps: Steps, scores: EpisodeScores) -> tuple[Real, Truth, Truth]:
        """Success rate of each step's group, success of its trajectory, whether they are defined.

        Raises:
            MissingInputError: `psc` is "on" and a group's success is not defined.
        """
        if self.psc_rate == "mean_score":
            # The released code starts its group means at 0 and leaves them there for a lone row.
            rate = np.where(scores.lone, 0.0, np.clip(scores.mean, 0.0, 1.0))
            defined = np.full(len(steps), self.psc != "off")
            return rate[steps.group], scores.score > 0.5, defined
        reward = steps.episode_reward / self.worth(steps)
        success, defined = trajectory_success(steps, reward, self.success_threshold)
        if self.psc == "on" and not defined.all():
            where = steps.identity(int(steps.group_start[int(np.argmin(defined))]))["group_id"]
            raise MissingInputError(
                f"psc=on needs to know which trajectories succeeded; group {where!r} has neither a "
                "`success` column nor rewards of 0 and 1. Hint: -p success_threshold=0.5, or "
                "-p psc=off"
            )
        defined &= self.psc != "off"
        rate = success_rate(steps, success)
        return rate[steps.group], success[steps.trajectory], defined[steps.group]

    def _step_term(self, steps: Steps, space: Space, scale: Real) -> Term:
        score = self.step_score(steps, scale[steps.trajectory])
        weight = self.peer_weight(steps)
        if self.peers == "same_state":
            norm: Literal["std", "mean"] = "std" if self.step_norm == "std" else "mean"
            return anchor_term(
                space.state_key(self.state_key),
                score,
                weight,
                norm=norm,
                eps=self.eps,
                factor=self.step_weight,
            )
        return self._proximity_term(steps, space, score, weight)

    def _proximity_term(self, steps: Steps, space: Space, score: Real, weight: Real) -> Term:
        assert self.peers != "same_state"
        similarity = space.similarity(self.embedder)
        how: dict[str, Any] = {"temperature": self.temperature, "peers": self.peers}
        group, groups = steps.group, steps.groups
        (baseline,) = self.baselines(steps, space, [self.temperature])
        of_batch = space.fits_batches(self.embedder)
        factor = np.full(len(steps), self.step_weight)
        if self.without_words == "zero":
            wordless = np.ones(steps.batches, dtype=bool)
            np.logical_and.at(wordless, steps.group_batch, similarity.is_zero)
            factor[wordless[steps.batch]] = 0.0
        if self.step_norm == "std":
            deviation = segment_std(score, group, groups, weight)[group]
            level = segment_constant(score, group, groups, weight > 0)[group]
            divisor = np.where(level, 1.0, deviation + self.eps)
            factor = np.where(level, 0.0, factor / divisor)

        def facts(step: int) -> dict[str, Any]:
            members, share, _ = peer_weights(similarity, steps, weight, step, **how)
            own = steps.trajectory[members] == steps.trajectory[step]
            fitted = {"batch": steps.batch_name(int(steps.batch[step]))} if of_batch else {}
            return fitted | {
                "peers": len(members),
                "effective_peers": float(1.0 / (share**2).sum()) if len(share) else 0.0,
                "self_weight": float(share[members == step].sum()),
                "own_trajectory_weight": float(share[own].sum()),
            }

        def peers(step: int) -> Peers:
            members, share, near = peer_weights(similarity, steps, weight, step, **how)
            return Peers(step=members, weight=share, value=score[members], similarity=near)

        return Term(score=score, baseline=baseline, factor=factor, peers=peers, facts=facts)
