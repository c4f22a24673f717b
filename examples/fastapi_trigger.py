"""Trigger tasks from a web service: answer at once with the run's id, let the client ask for the result.

Run it: python examples/fastapi_trigger.py     (sends itself two requests)
Serve it: pip install "fastapi[standard]"; cd examples; HEADRACE_STACK=headrace fastapi dev fastapi_trigger.py
"""

from fastapi import FastAPI

from headrace import RunStatus
from quickstart import SimpleInput, hatchet, simple
from runtime import running

api = FastAPI()


@api.post("/messages", status_code=202)
async def submit(message: SimpleInput) -> dict[str, str]:
    run = await simple.aio_run(message, wait_for_result=False)
    return {"run_id": run.workflow_run_id}


@api.get("/messages/{run_id}")
async def result(run_id: str) -> dict[str, str | None]:
    status = await hatchet.runs.aio_get_status(run_id)
    if status != RunStatus.COMPLETED:
        return {"status": status.value, "transformed_message": None}
    output = await simple.aio_get_result(run_id)
    return {"status": status.value, "transformed_message": output.transformed_message}


def main() -> None:
    import time

    from fastapi.testclient import TestClient

    with running(hatchet), TestClient(api) as client:
        accepted = client.post("/messages", json={"message": "From THE Web"})
        print("POST /messages:", accepted.status_code)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            answer = client.get(f"/messages/{accepted.json()['run_id']}").json()
            if answer["status"] == RunStatus.COMPLETED.value:
                break
            time.sleep(0.05)
        print("GET /messages/{run_id}:", answer)


if __name__ == "__main__":
    main()
