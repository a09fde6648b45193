"""Tuning of a method on the rollouts of the log that it scores."""
