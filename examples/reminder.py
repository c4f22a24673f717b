"""Mails over two weeks, from one function that sleeps in between: nothing runs, and nothing is paid for, while it sleeps.

Run it: python examples/reminder.py
"""

from datetime import timedelta

from pydantic import BaseModel

from headrace import Context, DurableContext
from quickstart import hatchet
from runtime import passing


class SignUp(BaseModel):
    user: str
    day: timedelta  # how long a day is


class Mail(BaseModel):
    to: str
    text: str


@hatchet.task(name="send-mail", input_validator=Mail)
def send_mail(input: Mail, ctx: Context) -> dict[str, str]:
    return {"sent": input.text}


@hatchet.task(name="is-set-up", input_validator=SignUp)
def is_set_up(input: SignUp, ctx: Context) -> dict[str, bool]:
    """Ask your database here. Eve has done everything by then, ada has not."""
    return {"done": input.user == "eve"}


@hatchet.durable_task(name="onboarding", input_validator=SignUp)
async def onboarding(input: SignUp, ctx: DurableContext) -> dict[str, list[str]]:
    """What has an effect is a child run: it runs once, however often this function runs again."""
    began, sent = await ctx.aio_now(), list[str]()

    async def mail(text: str) -> None:
        days = (await ctx.aio_now() - began) / input.day
        await send_mail.aio_run(Mail(to=input.user, text=text))
        sent.append(f"day {days:.0f}: {text}")

    await mail("welcome")
    for days, text in ((1, "your first project"), (3, "invite your team"), (10, "can we help?")):
        await ctx.aio_sleep_for(days * input.day)
        if (await is_set_up.aio_run(input))["done"]:
            break
        await mail(text)
    return {"sent": sent}


def main() -> None:
    with passing(hatchet) as time:
        users = ("ada", "eve")
        refs = [onboarding.run(SignUp(user=user, day=time.day), wait_for_result=False) for user in users]
        time.pass_by()
        for user, ref in zip(users, refs, strict=True):
            print(f"{user}: {', '.join(ref.result()['sent'])}")


if __name__ == "__main__":
    main()
