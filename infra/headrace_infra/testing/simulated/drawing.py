"""Inputs of a workflow's own type, drawn by hypothesis: the same for the same seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headrace.app import Headrace
from headrace.errors import NotConfigured

EXAMPLES = 12
"""So many are drawn, the last of which is taken: hypothesis begins with the simplest."""


def inputs_drawn(app: Headrace, workflow: str, runs: int) -> Callable[[int], Sequence[Any]]:
    """The inputs of each seed, one a run. NotConfigured where hypothesis is missing, or can make none of the workflow's type."""
    try:
        import hypothesis  # noqa: F401
    except ImportError as error:
        raise NotConfigured("to draw inputs needs hypothesis: pip install hypothesis") from error
    from headrace.triggers.definition import no_such

    known = app._workflows_by_name
    name = app.settings.apply_namespace(workflow)
    if name not in known:
        raise NotConfigured(f"the app has no workflow {workflow!r}: {no_such(name, known)}")
    kind = known[name].tasks[0].input_codec.type

    def drawn(seed: int) -> Sequence[Any]:
        return [_one(kind, seed * 1_000 + number, workflow) for number in range(runs)]

    drawn(0)
    return drawn


def _one(kind: Any, seed: int, workflow: str) -> Any:
    import hypothesis
    from hypothesis import strategies
    from pydantic import ValidationError

    found: list[Any] = []

    def made(build: Callable[[], Any]) -> Any:
        try:
            return build()
        except ValidationError:
            hypothesis.reject()

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(strategies.data())
    def draw(data: Any) -> None:
        found.append(made(lambda: data.draw(strategies.from_type(kind))))

    try:
        draw()
    except Exception as error:
        if not found:
            raise NotConfigured(
                f"workflow {workflow}: hypothesis cannot draw an input of {kind!r}: {error}"
            ) from error
    if not found:
        raise NotConfigured(f"workflow {workflow}: hypothesis drew no valid input of {kind!r}: give --input")
    return found[-1]
