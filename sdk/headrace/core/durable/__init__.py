"""The log of a durable task: what it asked for, and in which order it was answered. Pure."""
