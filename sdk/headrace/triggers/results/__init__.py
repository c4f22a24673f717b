"""What came of a run: waiting for it, and its outcome as the caller's values."""
