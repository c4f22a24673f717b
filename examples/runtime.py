"""Where the examples run: on the embedded AWS of this process, or on a deployed stack.

With HEADRACE_STACK set, `running` does nothing: the stack's workers run the tasks (`python` needs AWS credentials
and `sam deploy` needs to have been done). Without it, everything runs in this process, with no account.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from headrace import Headrace


@contextmanager
def running(app: Headrace) -> Iterator[None]:
    """Deliver what is triggered inside the block to the tasks of `app`."""
    if os.environ.get("HEADRACE_STACK"):
        yield
        return
    from headrace_infra.testing import local

    _house_the_others(app)
    with local(app):
        yield


def _house_the_others(app: Headrace) -> None:
    """Where an example declares workers, what it imports from others, such as quickstart's task, needs one too."""
    homeless = [each for each in app.workflows_by_name.values() if not app.knows_workers(each.name)]
    if app.workers_declared and homeless:
        app.worker("others", workflows=homeless)
