"""What is told of runs and attempts to tracers. Nothing here imports one until it is installed."""
