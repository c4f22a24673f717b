"""What every room above needs of an attempt: what a host gives it, how it is claimed and ends, its payloads."""
