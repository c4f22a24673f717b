"""What is published, and how long a process believes it."""
