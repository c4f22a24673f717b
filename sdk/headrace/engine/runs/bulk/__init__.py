"""Cancelling and replaying many runs inside the stack."""
