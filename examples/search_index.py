"""Index a document once its edits have stopped, not at every key stroke.

    python examples/search_index.py

Ten edits of two documents come in quick succession. Each puts the document's run off; two runs take place, with the last text.
"""

from datetime import timedelta

from pydantic import BaseModel

from headrace import Context, Debounce, Headrace
from runtime import running

hatchet = Headrace()
QUIET = timedelta(seconds=2)


class Document(BaseModel):
    id: str
    text: str


@hatchet.task(input_validator=Document)
def index(input: Document, ctx: Context) -> dict[str, str]:
    return {"indexed": f"{input.id}: {input.text}"}


if __name__ == "__main__":
    with running(hatchet):
        runs = {}
        for edit in range(1, 6):
            for document in ("a", "b"):
                runs[document] = index.run(
                    Document(id=document, text=f"edit {edit}"),
                    debounce=Debounce(document, period=QUIET),
                    wait_for_result=False,
                )
        for ref in runs.values():
            print(ref.result()["indexed"])
