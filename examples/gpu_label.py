"""Labels: a task says what it needs of a worker, and goes to the worker that has it.

Two workers register the same task. One is small and cheap, the other has memory for the large model. A run chooses by what
it wishes for; a wish that is not required only counts where several could take it.

Run it: python examples/gpu_label.py
"""

from pydantic import BaseModel

from headrace import Context, DefinitionError, DesiredWorkerLabel, WorkerLabelComparator
from quickstart import hatchet
from runtime import running


class Text(BaseModel):
    text: str


# Unless a run says otherwise:
PREFERRED = {"model": DesiredWorkerLabel(value="small", weight=10)}


@hatchet.task(name="embed", input_validator=Text, desired_worker_labels=PREFERRED)
def embed(input: Text, ctx: Context) -> dict[str, str]:
    return {"by": f"{ctx.worker_id}, which has {ctx.worker_labels}"}


small = hatchet.worker(
    "small-model", workflows=[embed], memory=512, labels={"model": "small", "memory_gb": 1}
)
large = hatchet.worker(
    "large-model", workflows=[embed], memory=3072, labels={"model": "large", "memory_gb": 3}
)

# Lambda has no GPU. A worker of processes gets a queue and no function; each process runs `worker.start()` where the GPU is:
#
#     gpu = hatchet.worker("gpu", workflows=[embed], process=True, labels={"model": "large"})
#     gpu.start()     # and gpu.upsert_labels({"cuda": 12}) for what is known only there
#
# A run that requires a label that none of the processes has waits until one appears that does, or for its schedule_timeout.


def main() -> None:
    of_large = [DesiredWorkerLabel(key="model", value="large", required=True)]
    roomy = [
        DesiredWorkerLabel(
            key="memory_gb",
            value=2,
            required=True,
            comparator=WorkerLabelComparator.GREATER_THAN_OR_EQUAL,
        )
    ]
    huge = [DesiredWorkerLabel(key="model", value="huge", required=True)]
    with running(hatchet):
        print("as defined:", embed.run(Text(text="hello"))["by"])
        print("model=large:", embed.run(Text(text="hello"), desired_worker_labels=of_large)["by"])
        print("memory_gb>=2:", embed.run(Text(text="hello"), desired_worker_labels=roomy)["by"])
        try:
            embed.run(Text(text="hello"), desired_worker_labels=huge)
        except DefinitionError as refused:
            print("model=huge:", refused)


if __name__ == "__main__":
    main()
