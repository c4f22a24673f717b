"""The real engine on the memory ports, driven through every interleaving of its port calls, as `protocol` drives the model."""
