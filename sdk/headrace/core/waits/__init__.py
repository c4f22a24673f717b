"""What a task can wait for: decisions."""
