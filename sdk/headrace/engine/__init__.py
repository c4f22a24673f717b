"""The order of steps: decide, write, pay. Knows ports and core; nothing of AWS, of `Task` or of `Context`."""
