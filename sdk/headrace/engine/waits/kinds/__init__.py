"""One file for each kind of wait."""
