"""The demo: measure the standard library of this Python, one task run a file.

A source file is parsed. A compiled module has no source, so its first attempt fails; the retry takes the slow way and
asks an interpreter of its own. A shell script is neither: it fails finally.

Run it: make demo     (or: python examples/stdlib_report.py --files 100)
"""

import argparse
import time
from collections.abc import Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from headrace import FailedTaskRunExceptionGroup, TaskRunRef
from measure import STDLIB, File, Measured, measure_module
from quickstart import hatchet
from report import Results, print_report
from runtime import running

SKIPPED = {"test", "tests", "site-packages", "dist-packages", "__pycache__", "idlelib", "turtledemo"}
KINDS = {".py", ".so", ".pyd", ".csh", ".fish", ".ps1"}


def library_files() -> Iterator[str]:
    """The files of the standard library without its tests, in the order of their names."""
    for path in sorted(STDLIB.rglob("*")):
        relative = path.relative_to(STDLIB)
        private = path.name.startswith(("_test", "_xx", "xx", "_ctypes_test"))
        if path.suffix in KINDS and not private and not SKIPPED.intersection(relative.parts):
            yield relative.as_posix()


def sample(files: list[str], limit: int) -> list[str]:
    """About `limit` files, evenly chosen from each kind, so that every kind is there."""
    step = max(1, len(files) // limit)
    return [
        path for kind in sorted(KINDS) for path in [file for file in files if file.endswith(kind)][::step]
    ]


def collect(runs: list[tuple[str, TaskRunRef[File, Measured]]]) -> Results:
    results = Results()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress:
        for path, run in progress.track(runs, description="measuring"):
            try:
                results.measured.append(run.result())
            except FailedTaskRunExceptionGroup as failed:
                results.failed[path] = f"{failed.exceptions[0].exc_type}: {failed.exceptions[0].exc}"
    return results


def main() -> None:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--files", type=int, default=None, help="measure only so many, evenly chosen")
    limit = arguments.parse_args().files
    files = list(library_files())
    if limit:
        files = sample(files, limit)
    with running(hatchet):
        started = time.monotonic()
        runs = measure_module.run_many(
            [measure_module.create_bulk_run_item(input=File(path=path)) for path in files],
            wait_for_result=False,
        )
        results = collect(list(zip(files, runs, strict=True)))
        print_report(results, seconds=time.monotonic() - started)


if __name__ == "__main__":
    main()
