"""The transitions of a run, each one conditional write: what happened, and now, give a change."""
