"""What `sam build` made, run by Lambda's own runtime client with nothing else in reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployed.runtime_api import lambda_runtime, runtime_client
from deployed.sam import sam

pytestmark = [pytest.mark.deployed, pytest.mark.timeout(280)]

FUNCTIONS = [
    "ExamplesFunction",
    "ReportsFunction",
    "LaneFunction",
    "SmallModelFunction",
    "LargeModelFunction",
    "DeadLettersFunction",
    "ClockFunction",
    "EventsFunction",
]
DROPS = ("EventsFunction",)
"""The functions that let go of a message of which nothing can be made. The dead letters' keeps it for a person, in the table, which this test
has not: so the message stays."""


POISON = {
    "Records": [
        {
            "messageId": "m-1",
            "receiptHandle": "r-1",
            "body": "no JSON",
            "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1700000000000"},
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:a-queue",
            "awsRegion": "us-east-1",
        }
    ]
}
"""A message that names no run: a worker leaves it to the dead-letter queue."""


class _Loader(yaml.SafeLoader):
    """Takes CloudFormation's tags for what stands behind them."""


_Loader.add_multi_constructor("!", lambda loader, tag, node: getattr(node, "value", None))


@pytest.fixture(scope="session")
def functions(built: Path) -> dict[str, Any]:
    """The functions of the built template, by logical id."""
    template = yaml.load((built / "template.yaml").read_text(), Loader=_Loader)  # a safe loader
    resources = template["Resources"].items()
    return {
        name: each["Properties"] for name, each in resources if each["Type"] == "AWS::Serverless::Function"
    }


def test_these_are_all_functions(functions: dict[str, Any]) -> None:
    assert sorted(functions) == sorted(FUNCTIONS)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_handler_is_imported_with_the_artefact_alone(
    name: str, functions: dict[str, Any], built: Path, tmp_path: Path
) -> None:
    properties = functions[name]
    given = properties["Environment"]["Variables"]
    environment = {key: given[key] for key in ("HEADRACE_APP", "HEADRACE_WORKER") if key in given}
    artefact = built / properties["CodeUri"]
    with lambda_runtime(artefact, properties["Handler"], environment, runtime_client(tmp_path)) as api:
        what, why = api.said.get(timeout=60)
        assert (what, why) == ("ready", None)
        if name != "ClockFunction":  # whose event starts work at once
            left = [] if name in DROPS else [{"itemIdentifier": "m-1"}]
            assert api.invoke(POISON) == ("response", {"batchItemFailures": left})


def test_all_code_has_bytecode_that_needs_no_look_at_its_source(
    functions: dict[str, Any], built: Path
) -> None:
    artefact = built / functions["ExamplesFunction"]["CodeUri"]
    missing = [
        source.relative_to(artefact)
        for package in (
            "headrace",
            "headrace_handlers",
            "boto3",
            "botocore",
            "pydantic",
            "aws_lambda_powertools",
        )
        for source in (artefact / package).rglob("*.py")
        if not list((source.parent / "__pycache__").glob(f"{source.stem}.cpython-*.pyc"))
    ]
    assert missing == []
    [compiled] = (artefact / "headrace" / "__pycache__").glob("app.cpython-*.pyc")
    unchecked_hash = 0b01  # PEP 552: hash-based, and not to be checked
    assert int.from_bytes(compiled.read_bytes()[4:8], "little") == unchecked_hash


def test_what_no_worker_needs_is_not_shipped(functions: dict[str, Any], built: Path) -> None:
    artefact = built / functions["ExamplesFunction"]["CodeUri"]
    shipped = {path.name for path in artefact.iterdir()}
    assert not shipped & {"headrace_infra", "moto", "ministack", "pytest", "bin", "Makefile", "tests"}
    assert {"app.py", "headrace", "headrace_handlers"} <= shipped


def test_sam_s_own_linter_finds_nothing(repository: Path) -> None:
    assert "is a valid SAM Template" in sam(
        repository, "validate", "--lint", extra={"AWS_DEFAULT_REGION": "us-east-1"}
    )
