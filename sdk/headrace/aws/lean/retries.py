"""When a request is tried again, and after what pause: botocore's standard mode (AWS SDKs reference guide, "Retry behavior")."""

from __future__ import annotations

import random
import threading

TRIES = 6
LONGEST_PAUSE_S = 20.0
BASE_S = {"dynamodb": 0.025}
"""The first pause after anything but a throttle is up to this, in seconds; 0.05 s for other services."""

THROTTLED_BASE_S = 1.0

THROTTLES = frozenset(
    {
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "TooManyRequestsException",
        "ProvisionedThroughputExceededException",
        "TransactionInProgressException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "LimitExceededException",
        "RequestThrottled",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
    }
)
TRANSIENT = frozenset({"RequestTimeout", "RequestTimeoutException"})
TRANSIENT_STATUS = frozenset({500, 502, 503, 504})

SKEWED = frozenset(
    {
        "RequestTimeTooSkewed",
        "RequestExpired",
        "RequestInTheFuture",
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
    }
)
"""What a service says of a request whose time is off, among other reasons."""

SKEW_S = 240.0
"""A clock that is further off than this is corrected: AWS takes 300 s."""


def is_throttled(code: str, status: int) -> bool:
    return code in THROTTLES or status == 429


def is_worth_a_retry(code: str, status: int) -> bool:
    return is_throttled(code, status) or code in TRANSIENT or status in TRANSIENT_STATUS


def pause_s(service: str, tried: int, *, throttled: bool) -> float:
    """The pause after the attempt of that number, from 1 on: full jitter under a bound that doubles."""
    base = THROTTLED_BASE_S if throttled else BASE_S.get(service, 0.05)
    return random.random() * min(base * 2.0 ** (tried - 1), LONGEST_PAUSE_S)


class Budget:
    """Retries that a client may still make: spent by each, refilled by what succeeds, so that a service in trouble is not
    pressed by all its clients at once. Thread-safe."""

    CAPACITY = 500
    COST = 5

    def __init__(self) -> None:
        self._left = self.CAPACITY
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether one more retry is within the budget."""
        with self._lock:
            if self._left < self.COST:
                return False
            self._left -= self.COST
            return True

    def give_back(self, retried: bool) -> None:
        """After a success: the cost of its last retry, or 1."""
        if self._left < self.CAPACITY:
            with self._lock:
                self._left = min(self.CAPACITY, self._left + (self.COST if retried else 1))
