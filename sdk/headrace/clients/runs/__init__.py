"""What is read of runs and done to them: `hatchet.runs`."""
