"""One case: what is started in a world, and what came of it, held against what comes of it where nothing goes wrong."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from headrace.errors import NotConfigured
from headrace_infra.compile import compile_app, units_of
from headrace_infra.compile_checks import left_out
from headrace_infra.local.resources import Deployed, described
from headrace_infra.testing.simulated.opening import opened, published
from headrace_infra.testing.simulated.watch import reason_of, status_of
from headrace_infra.testing.simulated.world import NotAtRest, World

if TYPE_CHECKING:
    from headrace.app import Headrace

STACK = "simulated"
OVER = ("COMPLETED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What to do in each world.

    inputs: of each run that is started, one after the other. once: functions, as `module:name`, that are to be called as often as
    without faults. events: key and payload, pushed one after the other whenever all that is left waits. setup, check: called with the
    world, before the first run and at the end; what check raises is a finding. draw: the inputs of a seed, in place of `inputs`.
    """

    app: Headrace
    workflow: str
    inputs: Sequence[Any] = ()
    draw: Callable[[int], Sequence[Any]] | None = None
    once: Sequence[str] = ()
    events: Sequence[tuple[str, Any]] = ()
    setup: Callable[[World], object] | None = None
    check: Callable[[World], object] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of one world. Runs, tasks and effects by the names that people are shown; `doubled`: effects with the same arguments
    more than once in one run and what it started."""

    seed: int
    calm: bool = False
    statuses: Mapping[str, str] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    executions: Mapping[tuple[str, str], int] = field(default_factory=dict)
    effects: Mapping[tuple[str, str, str], int] = field(default_factory=dict)
    broken: Sequence[str] = ()
    faults: Sequence[tuple[int, str, str]] = ()
    story: Sequence[str] = ()
    calls: Mapping[str, int] = field(default_factory=dict)
    invocations: int = 0
    runs: int = 0
    virtual_s: float = 0.0

    @property
    def requests(self) -> int:
        """Calls of the table and the queues."""
        return sum(self.calls.values())


_deployed: dict[int, Deployed] = {}


def deployed_for(app: Headrace) -> Deployed:
    """What the app's template says of its queues and functions; compiled once a process."""
    if id(app) not in _deployed:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            left_out(app)
        template = compile_app(app, app_path="simulated:app", one_table=True)
        _deployed[id(app)] = described(template, units_of(app), stack=STACK)
    return _deployed[id(app)]


def checked(case: Case) -> Case:
    """The case, once it can be run: NotConfigured names the workflow that is not there, or the input that does not validate."""
    from headrace.triggers.definition import no_such
    from headrace_infra.testing.simulated.once import found_at

    known = case.app._workflows_by_name
    name = case.app.settings.apply_namespace(case.workflow)
    if name not in known:
        raise NotConfigured(f"the app has no workflow {case.workflow!r}: {no_such(name, known)}")
    for each in case.once:
        found_at(each)
    published(case.app, deployed_for(case.app))  # here, and not in the process of each seed
    if case.draw is not None:
        return case
    if not case.inputs:
        raise NotConfigured("no input was given: give at least one, such as {}")
    for value in case.inputs:
        try:
            known[name].tasks[0].input_codec.parse(_text(value))
        except Exception as error:
            raise NotConfigured(
                f"workflow {case.workflow}: the input {value!r} is not valid: {_short(error)}"
            ) from error
    return case


def _text(value: Any) -> str:
    from headrace.values.codec import input_text

    return input_text(value) or "{}"


def _short(error: Exception) -> str:
    return "; ".join(line.strip() for line in str(error).splitlines() if line.strip())[:400]


def play(
    case: Case,
    seed: int,
    *,
    faults: bool = True,
    only: frozenset[int] | None = None,
    closing: bool = True,
) -> Told:
    """One world, to its end. closing: see `opened`."""
    deployed = deployed_for(case.app)
    broken: list[str] = []
    with opened(case.app, deployed, seed, faults=faults, only=only, once=case.once, closing=closing) as world:
        if case.setup is not None:
            case.setup(world)
        inputs = case.inputs if case.draw is None else case.draw(seed)
        started = [world.start(case.workflow, value) for value in inputs]
        try:
            _to_the_end(world, case)
        except NotAtRest as error:
            broken.append(str(error))
        if case.check is not None and not broken:
            try:
                case.check(world)
            except Exception as error:  # noqa: BLE001  # the user's own check: what it raises is the finding
                broken.append(f"check: {type(error).__name__}: {error}")
        return _told(world, started, broken)


def _to_the_end(world: World, case: Case) -> None:
    world.run()
    for key, payload in case.events:
        if all(world.status(run_id) in OVER for run_id in world.watch.names):
            return
        world.watch.tell(f"an event {key} is pushed")
        world.app.event.push(key, payload)
        world.run()


def _told(world: World, started: list[str], broken: list[str]) -> Told:
    records = world.watch.outcomes()
    names = world.watch.names
    watch = world.watch
    executions: Counter[tuple[str, str]] = Counter()
    for (run_id, task), count in watch.executions.items():
        executions[names.get(run_id, run_id), task] += count
    effects = {
        (names.get(root, "no run"), name, key): count for (root, name, key), count in watch.effects.items()
    }
    for run_id, record in records.items():
        why = f": {reason_of(record)}" if reason_of(record) else ""
        watch.tell(f"in the end {names[run_id]} is {status_of(record)}{why}")
    return Told(
        seed=world.seed,
        calm=world.is_calm,
        statuses={names[run_id]: status_of(records[run_id]) for run_id in started if run_id in records},
        reasons={names[run_id]: reason_of(record) for run_id, record in records.items()},
        executions=dict(executions),
        effects=effects,
        broken=tuple(dict.fromkeys([*broken, *watch.broken])),
        faults=tuple((each.ordinal, each.kind.value, each.where) for each in world.faults),
        story=tuple(str(line) for line in watch.story),
        calls=dict(world.calls),
        invocations=world.invocations,
        runs=len(records),
        virtual_s=(world.clock.now_ms() - world.began_ms) / 1000,
    )


def findings(told: Told, calm: Told) -> list[str]:
    """What went another way than without faults, in words; the kind of each stands before its first colon."""
    out = list(told.broken)
    for name, status in told.statuses.items():
        usual = calm.statuses.get(name)
        if status == usual:
            continue
        if status not in OVER:
            out.append(
                f"stuck: {name} is {status} and nothing is left to happen; without faults it is {usual}"
            )
        else:
            why = f" ({told.reasons[name]})" if told.reasons.get(name) else ""
            out.append(f"another outcome: {name} is {status}{why}; without faults it is {usual}")
    return [*out, *_effects(told, calm)]


def _effects(told: Told, calm: Told) -> list[str]:
    """Effects that were paid more often than without faults, or less often though the run completed."""
    counts, usual = _by_name(told), _by_name(calm)
    out = []
    for run, name in {**usual, **counts}:
        count, expected = counts[run, name], usual[run, name]
        keys = [
            f"{name}({key}) {_times(n)}"
            for (at, each, key), n in told.effects.items()
            if (at, each) == (run, name)
        ]
        if count > expected:
            out.append(
                f"done again: {name} was done {_times(count)} for {run}; without faults {_times(expected)}: {'; '.join(keys)}"
            )
        elif count < expected and told.statuses.get(run) == "COMPLETED":
            out.append(
                f"left out: {run} is COMPLETED and {name} was done {_times(count)}; without faults {_times(expected)}"
            )
    return out


def _by_name(told: Told) -> Counter[tuple[str, str]]:
    found: Counter[tuple[str, str]] = Counter()
    for (run, name, _), count in told.effects.items():
        found[run, name] += count
    return found


def _times(count: int) -> str:
    return {0: "never", 1: "once", 2: "twice"}.get(count, f"{count} times")


def kind_of(finding: str) -> str:
    return finding.partition(":")[0]
