"""An app's own tasks in one deterministic process: virtual time, the ports in memory, and faults by a seed."""
