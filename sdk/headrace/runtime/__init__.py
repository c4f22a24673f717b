"""What runs a task's code."""
