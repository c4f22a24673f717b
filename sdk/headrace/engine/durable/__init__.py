"""The steps of durable tasks: read the log, ask what is answered, write the order down, suspend, look once more."""
