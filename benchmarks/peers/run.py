"""Headrace's process worker beside other task queues and durable executors: `make bench-peers`.

One worker process of ten at once each, rounds taking turns. SQS and DynamoDB are one MiniStack, served by uvicorn, whose long poll looks
each 5 ms, as a message on AWS ends a long poll at once; PostgreSQL and Restate run beside it. Throughput: no-op tasks a second while a
backlog is worked off. CPU: what the worker's processes take a task meanwhile. Delay: from the call that sends to the first line of the task,
the worker idle. Step: from the first line of a step of a chain to that of the next. What each keeps of a run is what its time buys. Exit
code 1 where an aim is missed or cannot be measured.

    python benchmarks/peers/run.py [--rounds 3] [--only headrace,taskiq]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(HERE), *(str(ROOT / name) for name in ("sdk", "handlers", "infra"))]
os.environ.update(MINISTACK_SQS_LOOK_S="0.005", MINISTACK_QUICK="1")

import boto3
from contestants import CELERY, CONTESTANTS, DBOS, HEADRACE, RESTATE_PORT, TASKIQ, Contestant
from services import NotInstalled, create_database, postgres, register, restate

from headrace_infra.compile import compile_app, units_of
from headrace_infra.local.resources import deploy
from headrace_infra.ministack import ACCOUNT, free_port, ministack

BACKLOG, SINGLES, CHAINS = 1_000, 30, 20
STEPS_A_CHAIN = 10
STEP_AIM_MS = 4.0


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one round. `step_ms`: None where there are no chains."""

    a_second: float
    cpu_ms: float
    delay_ms: float
    step_ms: float | None


class Race:
    """The servers that run, and who takes part."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.missing: dict[str, str] = {}

    def admit(
        self, contestant: Contestant, services: Mapping[str, Mapping[str, str] | str]
    ) -> dict[str, str] | None:
        """What a contestant needs of its environment; None: it cannot be measured, and `missing` says why."""
        service = services[contestant.service]
        if isinstance(service, str):
            self.missing[contestant.name] = service
            return None
        if not contestant.python.exists() or not Path(contestant.worker[0]).exists():
            self.missing[contestant.name] = "make .venv-peers/.locked"
            return None
        own = {**self.environment, **service, "OUT": str(self.folder / f"{contestant.module}.txt")}
        if contestant.service == "postgres":
            own["POSTGRES_URL"] = create_database(service["POSTGRES_URL"], contestant.module)
        if contestant.service == "restate":
            own[RESTATE_PORT] = str(free_port())
        if contestant.setup is not None:
            subprocess.run(contestant.setup, cwd=HERE, env=own, check=True, capture_output=True)
        return own

    @contextmanager
    def worker(self, contestant: Contestant, environment: Mapping[str, str]) -> Iterator[int]:
        """Its process id, while it runs."""
        with (self.folder / f"{contestant.module}.log").open("ab") as log:
            command = [
                each.format(**environment) if each.startswith("127.0.0.1:") else each
                for each in contestant.worker
            ]
            worker = subprocess.Popen(command, cwd=HERE, env=environment, stdout=log, stderr=log)
            try:
                yield worker.pid
            finally:
                worker.terminate()
                try:
                    worker.wait(20)
                except subprocess.TimeoutExpired:
                    worker.kill()
                    worker.wait()

    def measure(self, contestant: Contestant, environment: Mapping[str, str]) -> Measured:
        out = Path(environment["OUT"])
        pushes = (
            contestant.service == "restate"
        )  # its server calls the worker: there has to be one that was registered
        with ExitStack() as stack:
            if pushes:
                worker = stack.enter_context(self.worker(contestant, environment))
                register(environment["RESTATE_ADMIN"], int(environment[RESTATE_PORT]))
                done, before_ms = 0, cpu_ms(worker)
            send(contestant, environment, f"m.send({BACKLOG})")
            if not pushes:
                worker = stack.enter_context(self.worker(contestant, environment))
                done, before_ms = len(rows(out, 1, 60)), cpu_ms(worker)
            started = sorted(at for _, at in rows(out, BACKLOG, 120))
            worked_ms = (cpu_ms(worker) - before_ms) / (BACKLOG - done)
            throughput = (len(started) - 1) / (started[-1] - started[0])
            time.sleep(1)
            out.unlink()
            send(contestant, environment, f"for _ in range({SINGLES}): m.send(1); time.sleep(0.1)")
            delays = [(at - sent) * 1000 for sent, at in rows(out, SINGLES, 60)]
            out.unlink()
            steps = self.steps(contestant, environment) if contestant.chains else None
        return Measured(throughput, worked_ms, statistics.median(delays), steps)

    def steps(self, contestant: Contestant, environment: Mapping[str, str]) -> float:
        """From step to step, in ms, of chains that run one after the other."""
        send(contestant, environment, f"m.send_chains({CHAINS}, 0.15)")
        out = Path(f"{environment['OUT']}.steps")
        began: dict[str, dict[int, float]] = defaultdict(dict)
        for chain, number, at in triples(out, CHAINS * STEPS_A_CHAIN, 60):
            began[chain].setdefault(number, at)
        out.unlink()
        return statistics.median(
            (later - earlier) * 1000
            for chain in began.values()
            for earlier, later in pairwise(chain[number] for number in sorted(chain))
        )


def send(contestant: Contestant, environment: Mapping[str, str], code: str) -> None:
    """In a process of its own, by the contestant's Python."""
    done = subprocess.run(
        [str(contestant.python), "-c", f"import {contestant.module} as m, time\n{code}\nimport os; os._exit(0)"],
        cwd=HERE, env=environment, check=False, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{contestant.name} could not send: {done.stderr[-2000:]}")


def words(path: Path, count: int, limit_s: float) -> list[list[str]]:
    """So many lines of a file that is being written."""
    deadline = time.monotonic() + limit_s
    found: list[str] = []
    while time.monotonic() < deadline:
        found = path.read_text().splitlines() if path.exists() else []
        if len(found) >= count:
            return [line.split() for line in found]
        time.sleep(0.05)
    raise TimeoutError(f"only {len(found)} of {count} lines in {path.name} within {limit_s:g} s")


def cpu_ms(process: int) -> float:
    """What a process and its children have taken of the CPU; Linux."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])  # in user mode and in the kernel: proc(5)
    children = [
        int(each)
        for found in Path(f"/proc/{process}/task").glob("*/children")
        for each in found.read_text().split()
    ]
    return ticks * 1000 / os.sysconf("SC_CLK_TCK") + sum(map(cpu_ms, children))


def rows(path: Path, count: int, limit_s: float) -> list[tuple[float, float]]:
    """(sent, started) of so many tasks."""
    return [(float(sent), float(at)) for sent, at in words(path, count, limit_s)]


def triples(path: Path, count: int, limit_s: float) -> list[tuple[str, int, float]]:
    """(chain, step, started) of so many steps."""
    return [(chain, int(number), float(at)) for chain, number, at in words(path, count, limit_s)]


def deploy_headrace(environment: Mapping[str, str]) -> None:
    os.environ.update(environment, OUT=os.devnull)
    import headrace_app

    app = headrace_app.app
    made = compile_app(app, app_path="headrace_app:app")
    deploy(made, units_of(app), stack="bench", account=ACCOUNT, region="us-east-1")
    app._publish()  # as the clock does after a deployment


@contextmanager
def servers(wanted: set[str]) -> Iterator[tuple[dict[str, Mapping[str, str] | str], dict[str, str]]]:
    """The services by name: what their clients need, or why there is none. And the environment of all."""
    with ExitStack() as stack:
        aws = stack.enter_context(ministack())
        os.environ.update(aws.environment())
        sqs = boto3.client("sqs")
        url = sqs.create_queue(QueueName="bench")["QueueUrl"]
        sqs.create_queue(QueueName="bench-taskiq")
        services: dict[str, Mapping[str, str] | str] = {"aws": {**aws.environment(), "QUEUE_URL": url}}
        for name, service in (("postgres", postgres), ("restate", restate)):
            if name not in wanted:
                continue
            try:
                services[name] = stack.enter_context(service())
            except NotInstalled as error:
                services[name] = str(error)
        path = os.pathsep.join(sys.path[1:4])
        yield services, {**os.environ, **aws.environment(), "HEADRACE_STACK": "bench", "PYTHONPATH": path}


def table(rounds: Mapping[str, list[Measured]], missing: Mapping[str, str]) -> None:
    print(
        "| worker | tasks a second | its CPU, ms a task | delay, ms | a durable step, ms | keeps of a run |\n|---|---:|---:|---:|---:|---|"
    )
    for contestant in CONTESTANTS:
        found = rounds.get(contestant.name)
        if found is None:
            if contestant.name in missing:
                print(f"| {contestant.name} | **not measured** | | | | {contestant.keeps} |")
            continue
        steps = [each.step_ms for each in found if each.step_ms is not None]
        print(
            f"| {contestant.name} | {ranged([each.a_second for each in found], 0)} | {ranged([each.cpu_ms for each in found], 1)} "
            f"| {ranged([each.delay_ms for each in found], 0)} "
            f"| {ranged(steps, 1) if steps else ''} | {contestant.keeps} |"
        )


def ranged(values: list[float], digits: int) -> str:
    """Median and range."""
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"


def aims(rounds: Mapping[str, list[Measured]]) -> list[str]:
    """What is missed, and what was reached, by pairs within one round."""
    missed: list[str] = []
    ours = rounds.get(HEADRACE.name, [])

    def judge(what: str, reached: float | None, aim: float, *, at_least: bool) -> None:
        bound = "at least" if at_least else "at most"
        good = reached is not None and (reached >= aim if at_least else reached <= aim)
        shown = "not measured" if reached is None else f"{reached:.2f}"
        print(f"| {what} | {shown} | {bound} {aim:g} | {'' if good else '**missed**'} |")
        if not good:
            missed.append(what)

    def ratio(of: str, peer: Contestant) -> float | None:
        pairs = zip(ours, rounds.get(peer.name, []), strict=False)
        found = [getattr(a, of) / getattr(b, of) for a, b in pairs if getattr(a, of) and getattr(b, of)]
        return statistics.median(found) if found else None

    steps = [each.step_ms for each in ours if each.step_ms is not None]
    print("\n| aim | reached | | |\n|---|---:|---:|---|")
    judge("tasks a second ÷ taskiq's", ratio("a_second", TASKIQ), 0.9, at_least=True)
    judge("tasks a second ÷ Celery's", ratio("a_second", CELERY), 2.5, at_least=True)
    judge("a step, ms", statistics.median(steps) if steps else None, STEP_AIM_MS, at_least=False)
    judge("a step ÷ DBOS's", ratio("step_ms", DBOS), 1.0, at_least=False)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", help="names of modules, without _app, separated by commas")
    options = parser.parse_args()
    only = [f"{name}_app" for name in options.only.split(",") if name]
    wanted = [each for each in CONTESTANTS if not only or each.module in only]
    rounds: dict[str, list[Measured]] = defaultdict(list)
    with (
        tempfile.TemporaryDirectory() as folder,
        servers({each.service for each in wanted}) as (services, environment),
    ):
        deploy_headrace(environment)
        race = Race(Path(folder), environment)
        admitted = {each.module: race.admit(each, services) for each in wanted}
        print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores; {BACKLOG:,} no-op tasks, "
              f"{CHAINS} chains of {STEPS_A_CHAIN}, {options.rounds} rounds: median (least to most)\n", flush=True)  # fmt: skip
        for number in range(options.rounds):
            for contestant in wanted:
                own = admitted[contestant.module]
                if own is not None:
                    rounds[contestant.name].append(race.measure(contestant, own))
                    print(
                        f"round {number + 1}: {contestant.name}: {rounds[contestant.name][-1]}",
                        file=sys.stderr,
                    )
    table(rounds, race.missing)
    missed = aims(rounds)
    for name, why in race.missing.items():
        print(f"\nNOT MEASURED: {name}. It is not installed here: {why}")
    if missed:
        print(f"\nMissed: {', '.join(missed)}.")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
