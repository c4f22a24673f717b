"""The SAM template as data, one resource family a file."""
