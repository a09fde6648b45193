"""Methods that compare steps in similar states."""
