"""A batch, from its message to the end of its members."""
