"""A workflow of four tasks: two in parallel between a first and a last one.

    load ──┬── words ────┬── report
           └── letters ──┘

Run it: python examples/dag.py
"""

from pydantic import BaseModel

from headrace import Context
from quickstart import hatchet
from runtime import running


class Text(BaseModel):
    text: str


class Loaded(BaseModel):
    text: str


class Count(BaseModel):
    count: int


class Report(BaseModel):
    letters_a_word: float


dag = hatchet.workflow(name="text-report", input_validator=Text)


@dag.task()
def load(input: Text, ctx: Context) -> Loaded:
    return Loaded(text=input.text.strip())


@dag.task(parents=[load])
def words(input: Text, ctx: Context) -> Count:
    return Count(count=len(ctx.task_output(load).text.split()))


@dag.task(parents=[load])
def letters(input: Text, ctx: Context) -> Count:
    return Count(count=sum(letter.isalpha() for letter in ctx.task_output(load).text))


@dag.task(parents=[words, letters])
def report(input: Text, ctx: Context) -> Report:
    return Report(letters_a_word=round(ctx.task_output(letters).count / ctx.task_output(words).count, 2))


def main() -> None:
    with running(hatchet):
        result = dag.run(Text(text="  the quick brown fox jumps over the lazy dog "))
        for task, output in result.items():
            print(f"{task}: {output}")


if __name__ == "__main__":
    main()
