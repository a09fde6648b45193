"""Methods inside a running trainer: arrays in, advantages out, no files."""

from workbench.trainers.advantages import step_advantages, token_advantages

__all__ = ["step_advantages", "token_advantages"]
