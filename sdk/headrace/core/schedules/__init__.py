"""Times at which runs start: decisions, pure."""
