"""The plan of a run: the tasks, parents and limits of a workflow, as its runs are started with."""
