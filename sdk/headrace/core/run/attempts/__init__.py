"""What is kept of a task's attempts, and when the next one may be."""
