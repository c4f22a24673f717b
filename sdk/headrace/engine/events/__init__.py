"""Events on the ports: push, handle, filters, subscriptions, webhooks."""
