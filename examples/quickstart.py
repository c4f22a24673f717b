"""One task: give it a message, get it back in lower case.

Run it: python examples/quickstart.py
"""

from pydantic import BaseModel

from headrace import Context, Headrace
from runtime import running

hatchet = Headrace()


class SimpleInput(BaseModel):
    message: str


class SimpleOutput(BaseModel):
    transformed_message: str


@hatchet.task(name="simple", input_validator=SimpleInput)
def simple(input: SimpleInput, ctx: Context) -> SimpleOutput:
    return SimpleOutput(transformed_message=input.message.lower())


def main() -> None:
    with running(hatchet):
        result = simple.run(SimpleInput(message="Hello, World!"))
        print(result.transformed_message)


if __name__ == "__main__":
    main()
