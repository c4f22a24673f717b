"""One user-facing option a file: its values, its check, its part of the plan."""
