"""Values on their way in and out of tasks, and expressions about them."""
