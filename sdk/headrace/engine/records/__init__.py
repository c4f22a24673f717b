"""What attempts leave behind: log lines."""
