"""The tuned method at a value: its credit, the shares in its baselines, held-out rollouts."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.analysis.tuning.held_out import HeldOut
from workbench.analysis.tuning.verdict import fields_at
from workbench.log.credit import Credit
from workbench.log.steps import Real
from workbench.methods.proximity.proxmo import ProxMO
from workbench.ui import cache, frame, settings, state, work


@dataclass(frozen=True, kw_only=True)
class Tried:
    """The tuned method at a value.

    Args:
        credit: A credit whose other fields are those that are tried.
        advantage: The advantage of every step at the value. (S,) float64
        largest: A size that no advantage of this or the neighbouring values exceeds.
        own_step, own_trajectory: Median weight of a step, and of its rollout, in its baseline; NaN
            where the value does not matter or there are no such weights.
        effective: Median number of equal peers that average as much.
    """

    credit: Credit
    advantage: Real
    largest: float
    own_step: float
    own_trajectory: float
    effective: float


def at(value: float) -> Tried:
    """The tuned method with what is tried, at a value; ProxMO's are swept all at once."""
    here, view = frame.entry(), state.current()
    tried = settings.tried()
    if isinstance(settings.made({}), ProxMO):
        trial = cache.trial(here.id, view.embedder, tried, value, here)
        place, sweep = trial.place(value), trial.sweep
        return Tried(
            credit=trial.credit,
            advantage=trial.advantage(value),
            largest=trial.largest,
            own_step=float(sweep.own_step[place]),
            own_trajectory=float(sweep.own_trajectory[place]),
            effective=float(sweep.effective[place]),
        )
    fields = _with(tried, value)
    credit = cache.credit(here.id, view.embedder, settings.method(), fields, here)
    found = cache.baseline_shares(here.id, view.embedder, settings.method(), fields, here)
    known = (found.own_step, found.own_trajectory, found.effective) if found else ()
    medians = [float(np.median(part)) for part in known] or [np.nan] * 3
    return Tried(
        credit=credit,
        advantage=credit.advantage,
        largest=float(np.abs(credit.advantage).max(initial=0.0)),
        own_step=medians[0],
        own_trajectory=medians[1],
        effective=medians[2],
    )


def held_out(place: Any) -> HeldOut | None:
    """Held-out error of each value; None where somebody stopped it.

    Raises:
        WorkbenchError: The method cannot score this log, or has nothing to predict with.
    """
    here, view, method = frame.entry(), state.current(), settings.method()
    fields, now = settings.tried(), settings.applied_value()
    if isinstance(settings.made({}), ProxMO):
        known = ProxMO.of_baseline - {"peers"}  # a rollout is always predicted from others
        fields = {name: value for name, value in fields.items() if name in known}
    tried = settings.tuned().candidates(cache.space(here.id, view.embedder, here))
    # The curve is one, whichever of its values every page has.
    fields = _with(fields, tried[0] if now in tried else now)
    key = json.dumps([here.id, view.embedder, "held out", method, fields], sort_keys=True)
    found = work.long(
        key,
        "Holding out one rollout after the other",
        place,
        lambda progress: cache.held_out_error(
            here.id, view.embedder, method, fields, here, progress=progress
        ),
    )
    return found and dataclasses.replace(found, now=now if now in found.values else None)


def _with(fields: Mapping[str, Any], value: float) -> dict[str, Any]:
    return {**fields, **fields_at(settings.made(fields), value)}
