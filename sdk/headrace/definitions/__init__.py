"""What is declared: tasks, workflows, workers."""
