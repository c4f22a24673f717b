"""hatchet.<x> for what starts runs by itself: crons, scheduled runs, events with their filters, and webhooks."""
