"""The ports in memory: the same semantics, virtual time, every fault injectable. For the simulation and for users' tests."""
