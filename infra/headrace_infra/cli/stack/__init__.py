"""What commands do with a stack: its limits, events, crons, metrics, and whether it is well."""
