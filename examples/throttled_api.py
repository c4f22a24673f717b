"""An API that takes 10 requests a second: a rate limit that all tasks with its key share.

A window of a second begins at each full second. What finds no units left waits for the next one, in order.

Run it: python examples/throttled_api.py
"""

import time
from collections import Counter

from pydantic import BaseModel

from headrace import Context, RateLimit, RateLimitDuration
from quickstart import hatchet
from runtime import running
from timeline import bars, draw

A_SECOND = 10
CALLS = 35

# At the top level of a module this declares the limit: it is stored with the deployment.
hatchet.rate_limits.put("weather-api", A_SECOND, RateLimitDuration.SECOND)


class Place(BaseModel):
    number: int


# A limit whose key depends on the run needs no declaration, but says itself how much there is:
# RateLimit(dynamic_key="'weather of ' + input.customer", limit=600, duration=RateLimitDuration.MINUTE)


@hatchet.task(name="forecast", input_validator=Place, rate_limits=[RateLimit(static_key="weather-api")])
def forecast(input: Place, ctx: Context) -> dict[str, float]:
    return {"called_at": time.time()}


def main() -> None:
    with running(hatchet):
        time.sleep(1 - time.time() % 1)  # begin with a window, so that the seconds below are windows
        runs = [forecast.run(Place(number=number), wait_for_result=False) for number in range(CALLS)]
        seconds = Counter(int(run.result()["called_at"]) for run in runs)
        draw(bars(hatchet, [(f"{number}", run.workflow_run_id) for number, run in enumerate(runs)]))
    first = min(seconds)
    for second in range(first, max(seconds) + 1):
        print(f"second {second - first}: {seconds[second]} calls")


if __name__ == "__main__":
    main()
