"""What a worker process does at once: its messages, its slots, and the code that runs on them."""
