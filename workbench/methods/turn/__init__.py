"""Methods from per-turn rewards, values or advantages that the log has."""
