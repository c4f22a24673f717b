"""From a call to the start of a run, and to its result."""
