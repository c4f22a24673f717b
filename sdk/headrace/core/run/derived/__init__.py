"""What follows from the rows of a run: the states of its tasks, what is due, whether it is over."""
