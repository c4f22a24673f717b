"""The Lambda functions, one kind a file, each with what invokes it."""
