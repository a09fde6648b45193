"""GDPO: several rewards, each standardised in its group before they are added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from workbench.errors import ParameterError
from workbench.log.columns import known
from workbench.log.credit import Term
from workbench.log.steps import Steps
from workbench.methods.base import Dialect, Golden, method
from workbench.methods.parts.episode import episode_scores, episode_term
from workbench.methods.parts.fields import GroupMethod
from workbench.methods.parts.inputs import of_trajectory
from workbench.methods.parts.whitening import OVER_TOKENS, Whitened
from workbench.parameters import parameter
from workbench.states.space import Space

_AUX = "aux_reward_"


def parse_weights(text: str) -> dict[str, float]:
    """Rewards and their weights from a text; no text is no rewards.

    Raises:
        ParameterError: The text does not have this form, or names a column that is no reward.

    Example:
        >>> parse_weights("reward=1, aux_reward_format=0.5")
        {'reward': 1.0, 'aux_reward_format': 0.5}
    """
    found = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        try:
            found[name] = float(number)
        except ValueError as error:
            raise ParameterError(f"expected NAME=NUMBER, …; got {part!r}") from error
        if name != "reward" and not name.startswith(_AUX):
            raise ParameterError(f"{name!r} is no reward; expected 'reward' or '{_AUX}…'")
    return found


@method(
    "gdpo",
    summary="Σ over rewards of (R − mean) / (std + eps) in the group, over the std of that sum",
    source="arXiv 2601.05242",
    needs=(f"{_AUX}*",),
    traits=("couples-groups",),
    dialects=(
        Dialect(
            name="verl",
            source="verl-project/verl verl/trainer/ppo/core_algos.py",
            fields={**OVER_TOKENS, "group_of_one": "raw"},
            traits=(
                "couples-groups",
                "tokens-population",
                "raw-group-of-one",
                "credits-dead-groups",
            ),
            golden={"gdpo_traj": Golden(params={"invalid_penalty": 0.0})},
        ),
        Dialect(
            name="trl",
            source="huggingface/trl trl/trainer/grpo_trainer.py, normalize_then_sum",
            fields={"eps": 1e-4, "recentre": True, "batch_eps": 1e-4},
            traits=("couples-groups",),
            golden={"trl_gdpo": Golden(params={"invalid_penalty": 0.0})},
        ),
        Dialect(
            name="ms-swift",
            source="modelscope/ms-swift swift/rl_core/advantage.py, scale_rewards=gdpo",
            fields={"eps": 1e-8, "recentre": True, "batch_eps": 1e-8},
            traits=("couples-groups",),
        ),
    ),
)
@dataclass(frozen=True, kw_only=True)
class GDPO(GroupMethod, Whitened):
    """Group credit of several rewards, so that none drowns another by its spread.

        z_ik = (R_ik − μ_gk) / (σ_gk + eps)
        A_i  = Σ_k w_k z_ik / (σ(Σ_k w_k z_k) + batch_eps)

    The rewards are the log's own and every `aux_reward_…`, each with weight 1, or those that
    `weights` names. Each is a term, named after its column; the log's own reward is "episode".

    Degenerate cases: a reward that is equal in a group adds exactly 0 there; so does a group of
    one.

    **Conventions**: z over trajectories, self included; ddof 1; eps 1e-6; the last division over
    the batch's trajectories, each once, ddof 1, eps 1e-6; the sum is not centred again, since its
    mean is 0. The invalid penalty is taken off the log's own reward.

    **Differs from** verl, whose last division runs over response tokens with eps 1e-8 under the
    root and takes their mean off, and where a group of one enters with its raw rewards; from TRL
    (eps 1e-4 in both) and ms-swift (1e-8) (dialects).

    Source: Liu et al., arXiv 2601.05242.
    """

    eps: float = parameter(1e-6, "added to a group's deviation", minimum=0.0)
    weights: str = parameter(
        "",
        "rewards and their weights, as in reward=1,aux_reward_format=0.5; empty takes all with 1",
        parse=parse_weights,
    )

    def terms(self, steps: Steps, space: Space) -> Mapping[str, Term]:
        """One term a reward, and the mean of their sum where it is taken off."""
        weights = parse_weights(self.weights) or dict.fromkeys(("reward", *_logged(steps)), 1.0)
        terms = {}
        for name, weight in weights.items():
            own = name == "reward"
            conventions = self if own else replace(self, invalid_penalty=0.0)
            reward = None if own else of_trajectory(steps, name)
            scores = episode_scores(conventions, steps, reward=reward)
            term = episode_term(self, steps, scores, norm="std", eps=self.eps, factor=weight)
            terms["episode" if own else name] = (scores, term)
        return self.whitened(steps, terms)


def _logged(steps: Steps) -> list[str]:
    aux = known(f"{_AUX}*")
    return sorted(name for name in steps.log.columns if known(name) is aux)
