"""ONE suite for every Store and Queues: in memory, on moto and on MiniStack."""
