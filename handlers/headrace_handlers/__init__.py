"""The entry points of the Lambda functions: worker, clock, dead_letters, events, webhooks."""
