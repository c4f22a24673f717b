"""From the message of a task to its attempt: what has to be passed, and what its conditions say."""
