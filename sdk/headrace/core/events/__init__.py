"""Events: what they are, which runs they start, and which waits they satisfy."""
