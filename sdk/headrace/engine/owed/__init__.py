"""Paying what a record owes: messages, waiters to wake, permits to give back, runs to cancel."""
