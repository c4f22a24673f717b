"""Print what the demo found, for a person to read."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from platform import python_version

from rich.console import Console
from rich.table import Table

from measure import Measured

TOP = 8
TEXT_COLUMNS = {"module", "function", "package", "file", "why"}


@dataclass(slots=True, kw_only=True)
class Results:
    measured: list[Measured] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def print_report(results: Results, *, seconds: float) -> None:
    console = Console()
    source = [module for module in results.measured if not module.compiled]
    console.rule(f"The standard library of Python {python_version()}")
    console.print(totals(source, [module for module in results.measured if module.compiled]))
    console.print(largest(source), longest(source), complicated(source))
    console.print(packages(source), most_imported(source))
    console.print(failures(results.failed))
    console.rule("The runs")
    console.print(summary(results, seconds))


def table(title: str, *columns: str, rows: Iterable[tuple[object, ...]]) -> Table:
    """A table that shows numbers on the right."""
    drawn = Table(title=title, title_justify="left", title_style="bold", min_width=60)
    for column in columns:
        drawn.add_column(column, justify="left" if column in TEXT_COLUMNS else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    return drawn


def totals(source: list[Measured], compiled: list[Measured]) -> str:
    lines, public = sum(module.lines for module in source), sum(module.public for module in source)
    documented = sum(module.documented for module in source)
    return (
        f"{len(source):,} source files, {lines:,} lines, {sum(module.functions for module in source):,} functions, "
        f"{sum(module.classes for module in source):,} classes; "
        f"{percent(documented, public)} of {public:,} public names have a docstring.\n"
        f"{len(compiled):,} compiled modules, {sum(module.size_bytes for module in compiled) / 1e6:.1f} MB; "
        f"{percent(sum(m.documented for m in compiled), sum(m.public for m in compiled))} of their public names "
        "have a docstring.\n"
    )


def largest(source: list[Measured]) -> Table:
    ranked = sorted(source, key=lambda module: -module.lines)[:TOP]
    rows = ((m.path, m.lines, m.functions, m.classes, percent(m.documented, m.public)) for m in ranked)
    return table("Largest modules", "module", "lines", "functions", "classes", "documented", rows=rows)


def longest(source: list[Measured]) -> Table:
    ranked = sorted(((m.longest, m.path) for m in source if m.longest), key=lambda pair: -pair[0].lines)[:TOP]
    return table(
        "Longest functions", "function", "lines", rows=((f"{path}: {f.name}", f.lines) for f, path in ranked)
    )


def complicated(source: list[Measured]) -> Table:
    found = ((m.most_complex, m.path) for m in source if m.most_complex)
    ranked = sorted(found, key=lambda pair: -pair[0].complexity)[:TOP]
    rows = ((f"{path}: {f.name}", f.complexity) for f, path in ranked)
    return table("Functions with the most branches", "function", "complexity", rows=rows)


def packages(source: list[Measured]) -> Table:
    """The large packages with the fewest docstrings: where a contributor could start."""
    public: Counter[str] = Counter()
    documented: Counter[str] = Counter()
    for module in source:
        package = module.path.split("/")[0] if "/" in module.path else module.path
        public[package] += module.public
        documented[package] += module.documented
    large = [package for package in public if public[package] >= 100]
    ranked = sorted(large, key=lambda package: documented[package] / public[package])[:TOP]
    rows = ((package, public[package], percent(documented[package], public[package])) for package in ranked)
    return table("Fewest docstrings (100 public names or more)", "package", "names", "documented", rows=rows)


def most_imported(source: list[Measured]) -> Table:
    count = Counter(name for module in source for name in module.imports)
    return table("Most imported", "module", "by files", rows=count.most_common(TOP))


def failures(failed: dict[str, str]) -> Table:
    rows = ((path, reason.splitlines()[0][:70]) for path, reason in sorted(failed.items()))
    return table("Failed after all attempts", "file", "why", rows=rows)


def summary(results: Results, seconds: float) -> str:
    runs = len(results.measured) + len(results.failed)
    retried = sum(module.attempts > 1 for module in results.measured)
    retries = sum(module.attempts - 1 for module in results.measured) + len(results.failed)
    return (
        f"{runs:,} runs: {len(results.measured) - retried:,} succeeded at once, {retried:,} on a retry, "
        f"{len(results.failed):,} failed after all attempts ({retries:,} retries)\n"
        f"{seconds:.1f} s, {runs / seconds:.0f} runs a second, each through a queue, a Lambda handler and a table"
    )


def percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"
