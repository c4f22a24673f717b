"""The web pages on a stack: what failed, what waits, every run, and what can be done about it."""
