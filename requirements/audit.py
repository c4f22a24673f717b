"""`make audit`: known vulnerabilities in what is locked, what bandit says of the code, and checkov of the template.

Each finding is either mended or an exception with its reason in audit-exceptions.toml; an exception that nothing needs any more is an error
too. Where the database of vulnerabilities cannot be reached, that is said, and the audit fails unless AUDIT_OFFLINE=1 asks for the rest alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXCEPTIONS = Path(__file__).with_name("audit-exceptions.toml")
LOCKS = sorted(
    str(path.relative_to(ROOT)) for path in (*ROOT.glob("requirements/*.txt"), *ROOT.glob("examples/*.lock"))
)
CODE = ("sdk", "handlers", "infra", "dashboard")
BIN = Path(sys.executable).parent
ATTEMPT_S = 300
CANARY = "urllib3==1.24.1"
"""A release with vulnerabilities that have been known since 2019."""


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What a tool says: `where` is a file, a resource of the template, or a package."""

    tool: str
    id: str
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.tool} {self.id} {self.where}: {self.text}"


class Unreachable(Exception):
    """The database of vulnerabilities gives no answer."""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    name, *rest = command
    return subprocess.run(
        [str(BIN / name), *rest], cwd=ROOT, capture_output=True, text=True, timeout=ATTEMPT_S, check=False
    )


def audited(*options: str) -> list[dict[str, Any]]:
    """What pip-audit says of each package. Unreachable where it gives no answer, or passes over one."""
    answer = run("pip-audit", *options, "--disable-pip", "--format", "json", "--progress-spinner", "off")
    try:
        packages: list[dict[str, Any]] = json.loads(answer.stdout)["dependencies"]
    except (ValueError, KeyError):
        said = (answer.stderr or answer.stdout).strip().splitlines()
        raise Unreachable(said[-1] if said else "no output") from None
    skipped = [each for each in packages if "skip_reason" in each]
    if skipped:
        raise Unreachable(
            f"{len(skipped)} of {len(packages)} packages passed over, such as: {skipped[0]['skip_reason']}"
        )
    return packages


def check_database() -> None:
    """Unreachable where a release with well-known vulnerabilities has none: a mirror may answer without knowing of any."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(f"{CANARY}\n")
        file.flush()
        [package] = audited("-r", file.name, "--no-deps")
    if not package.get("vulns"):
        raise Unreachable(f"{CANARY}, which has known vulnerabilities, has none there")


def vulnerabilities() -> Iterator[Finding]:
    """pip-audit, lock by lock."""
    check_database()
    for lock in LOCKS:
        for package in audited("-r", lock, "--require-hashes"):
            for each in package.get("vulns", ()):
                text = f"{lock}: {package['version']}, mended in {', '.join(each['fix_versions']) or 'no version'}"
                yield Finding("pip-audit", each["id"], package["name"], text)


def code() -> Iterator[Finding]:
    answer = run("bandit", "-r", *CODE, "-f", "json", "-q")
    report = json.loads(answer.stdout)
    if report["errors"]:
        raise SystemExit(f"bandit could not read {report['errors']}")
    for each in report["results"]:
        where = Path(each["filename"]).as_posix().removeprefix("./")
        yield Finding("bandit", each["test_id"], where, f"line {each['line_number']}: {each['issue_text']}")


def template() -> Iterator[Finding]:
    answer = run("checkov", "-f", "template.yaml", "--framework", "cloudformation", "-o", "json", "--compact", "--quiet", "--skip-download")  # fmt: skip
    try:
        report: Any = json.loads(answer.stdout)
    except ValueError:
        raise SystemExit(f"checkov gave no report: {(answer.stderr or answer.stdout)[-500:]}") from None
    results = report["results"]
    if results.get("parsing_errors"):
        raise SystemExit(f"checkov could not read {results['parsing_errors']}")
    for each in results["failed_checks"]:
        yield Finding("checkov", each["check_id"], each["resource"], each["check_name"])


def unexcused(findings: list[Finding], exceptions: list[dict[str, str]]) -> tuple[list[Finding], list[str]]:
    """What no exception covers, and the exceptions that cover nothing. `where` may end in `*`; without one it is anywhere."""
    used: set[int] = set()
    left = []
    for each in findings:
        covers = [number for number, known in enumerate(exceptions) if _covers(known, each)]
        used.update(covers)
        if not covers:
            left.append(each)
    stale = [f"{e['tool']} {e['id']} {e.get('where', '')}" for n, e in enumerate(exceptions) if n not in used]
    return left, stale


def _covers(known: dict[str, str], found: Finding) -> bool:
    if not known.get("reason", "").strip():
        raise SystemExit(f"{EXCEPTIONS.name}: {known} has no reason")
    where = known.get("where", "*")
    same = found.where.startswith(where[:-1]) if where.endswith("*") else found.where == where
    return (known["tool"], known["id"]) == (found.tool, found.id) and same


def main() -> int:
    exceptions = tomllib.loads(EXCEPTIONS.read_text()).get("exception", [])
    bad = 0
    for name, look in (("pip-audit", vulnerabilities), ("bandit", code), ("checkov", template)):
        own = [each for each in exceptions if each["tool"] == name]
        try:
            findings = sorted(set(look()))
        except (Unreachable, subprocess.TimeoutExpired) as error:
            told_to = os.environ.get("AUDIT_OFFLINE") == "1"
            print(f"{name}: NOT AUDITED. The database of vulnerabilities gave no answer: {error}")
            if not told_to:
                print(
                    "  Nothing is known of vulnerabilities in what is locked. AUDIT_OFFLINE=1 asks for the rest alone."
                )
            bad += not told_to
            continue
        left, stale = unexcused(findings, own)
        print(
            f"{name}: {len(findings)} findings, {len(findings) - len(left)} of them with a reason, {len(left)} without"
        )
        for each in left:
            print(f"  {each}")
        for exception in stale:
            print(f"  {EXCEPTIONS.name}: {exception} covers nothing: remove it")
        bad += len(left) + len(stale)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
