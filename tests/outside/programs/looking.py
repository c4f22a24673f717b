"""What clients are asked: workflows, workers, metrics, expressions, ids."""

import pytest
from hatchet_sdk import Context, EmptyModel, Hatchet
from hatchet_sdk.features.metrics import TaskMetrics

hatchet = Hatchet()


@hatchet.task(version="v2")
def counted(input: EmptyModel, ctx: Context) -> dict[str, str]:
    return {"workflow": ctx.workflow_name, "task": ctx.task_name}


def test_workflows() -> None:
    found = hatchet.workflows.list(workflow_name="counted").rows or []
    assert [each.name for each in found] == ["counted"]
    assert found[0].metadata.id == counted.id
    assert hatchet.workflows.get(counted.id).name == "counted"


def test_counted() -> None:
    assert counted.run() == {"workflow": "counted", "task": "counted"}
    rows = hatchet.runs.list(workflow_ids=[counted.id]).rows
    assert [row.workflow_name for row in rows] == ["counted"]
    metrics = hatchet.metrics.get_task_metrics()
    assert isinstance(metrics, TaskMetrics)
    assert metrics.completed >= 1


def test_expressions() -> None:
    good = hatchet.cel.debug("input.n > 1", input={"n": 2})
    assert (good.result.status, good.result.output) == ("success", True)
    assert hatchet.cel.debug("input.n >", input={"n": 2}).result.status == "failure"


def test_no_such_run() -> None:
    with pytest.raises(ValueError, match="not found"):
        hatchet.runs.get_details("00000000-0000-0000-0000-000000000000")
