"""The whole system in one process: one seed, virtual time, the memory ports, and everything that can go wrong.

    python -m simulation --seeds 0:200        (from the folder `tests`; or: make simulate SEEDS=0:200)

A seed draws a workload (`workload.py`), a world with clients, Lambdas and a clock as cooperating processes (`world.py`), and
faults at every port call. `checks.py` holds the invariants, and a model of what was asked for predicts each run's result.
"""
