"""What a task's code is given."""
