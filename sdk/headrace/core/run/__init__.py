"""A run: its plan, its record, and the decisions about them."""
