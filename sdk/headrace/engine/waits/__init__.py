"""The steps of waiting: to be admitted, to be woken."""
