"""All examples as one application: what `template.yaml` is compiled from, and what `sam deploy` deploys."""

from datetime import timedelta

from branching import branching
from cancellation import endless, polite
from dag import dag
from dependencies import total
from durable import render_book, render_page
from fanout import map_package, reduce_library
from gpu_label import large, small
from measure import measure_module
from nested import square, sum_of_squares
from newest_wins import search
from on_failure import on_failure
from quickstart import hatchet, simple
from retries import charge, flaky, patient
from round_robin import export
from throttled_api import forecast
from timeouts import asks_for_more, too_slow, too_slow_async
from vip_lane import lane

__all__ = ["hatchet", "lane", "large", "small"]  # the others are declared here

hatchet.worker(
    "examples",
    memory=512,
    workflows=[
        simple,
        flaky,
        patient,
        charge,
        too_slow,
        too_slow_async,
        asks_for_more,
        endless,
        polite,
        total,
        dag,
        branching,
        on_failure,
        square,
        sum_of_squares,
        render_page,
        render_book,
        export,
        search,
        forecast,
    ],
)
hatchet.worker(
    "reports",
    memory=1024,
    timeout=timedelta(minutes=2),
    workflows=[measure_module, map_package, reduce_library],
)
