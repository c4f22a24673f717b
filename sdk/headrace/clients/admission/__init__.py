"""hatchet.<x> for what decides when a task may start: rate limits, the gates that are full, and what waits at them."""
