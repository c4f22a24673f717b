"""Clean up after a failure: the on-failure task runs once, with the errors of the run.

Run it: python examples/on_failure.py
"""

from pydantic import BaseModel

from headrace import Context, FailedTaskRunExceptionGroup
from quickstart import hatchet
from runtime import running


class Upload(BaseModel):
    name: str


on_failure = hatchet.workflow(name="upload", input_validator=Upload)


@on_failure.task()
def reserve(input: Upload, ctx: Context) -> dict[str, str]:
    return {"place": f"shelf-{len(input.name)}"}


@on_failure.task(parents=[reserve])
def store(input: Upload, ctx: Context) -> dict[str, str]:
    raise OSError(f"no space left for {input.name}")


@on_failure.on_failure_task(name="free")
def free(input: Upload, ctx: Context) -> dict[str, str]:
    error = ctx.get_task_run_error(store)
    return {"freed": ctx.task_output(reserve)["place"], "because": error.exc if error else "unknown"}


def main() -> None:
    with running(hatchet):
        run = on_failure.run(Upload(name="holiday.mov"), wait_for_result=False)
        try:
            run.result()
        except FailedTaskRunExceptionGroup as failed:
            print("failed:", failed.exceptions[0].exc)
        details = hatchet.runs.get_details(run.workflow_run_id)
        print("cleaned up:", details.task_runs["free-on-failure"].output)


if __name__ == "__main__":
    main()
