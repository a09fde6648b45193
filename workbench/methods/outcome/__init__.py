"""Methods with one advantage per trajectory, from its outcome."""
