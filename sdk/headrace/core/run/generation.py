"""Which generation of a run a record is: how often the run was replayed, and by what."""

from __future__ import annotations

from headrace.core.values import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """`number`: 1 for the first replay. `id`: of that replay, so that of two of one end it is known which one took place."""

    number: int
    at_ms: int
    id: str

    @property
    def token(self) -> str:
        """As a record and its messages hold it."""
        return f"{self.number}.{self.at_ms}.{self.id}"


def generation_of(token: str) -> Generation:
    """The generation that a token says. ValueError where it says none."""
    number, at_ms, id = token.split(".", 2)
    return Generation(number=int(number), at_ms=int(at_ms), id=id)
