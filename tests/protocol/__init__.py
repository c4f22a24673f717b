"""The protocol of runs and gates as an executable model: every interleaving, crash and duplicate is explored."""
