"""Methods that compare steps in equal states."""
