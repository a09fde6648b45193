"""Methods for forked, replayed and multi-agent rollouts."""
