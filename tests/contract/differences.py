"""Where an emulator is known to differ from AWS. AWS's documentation decides; the adapters follow it, and so does memory.

A test named here is expected to fail on that emulator, and fails the suite once it passes: then the row goes.
"""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.changes import (
    All,
    AnyOf,
    AtLeast,
    AtMost,
    Condition,
    Equal,
    Item,
    Path,
    SizeBelow,
    Update,
    Value,
    Write,
)

EXPRESSIONS = "DynamoDB developer guide, condition and update expressions"
VISIBILITY = "SQS API reference, ChangeMessageVisibility and DeleteMessage"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """In `test`, `emulator` does what AWS does not; `aws` is what AWS does, by `source`."""

    emulator: str
    test: str
    does: str
    aws: str
    source: str

    def __str__(self) -> str:
        return f"{self.emulator} {self.does}; AWS {self.aws} ({self.source})"


def _row(emulator: str, test: str, does: str, aws: str, source: str = EXPRESSIONS) -> Difference:
    return Difference(emulator=emulator, test=test, does=does, aws=aws, source=source)


_INVALID = "test_invalid_updates_are_refused_and_change_nothing"

KNOWN = (
    _row("moto", "test_conditions[{}-zero is False]", "takes 0 for False", "compares types too"),
    _row("moto", "test_conditions[{}-yes is 1]", "takes True for 1", "compares types too"),
    _row("moto", "test_conditions[{}-text at most 1]", "raises TypeError", "answers that it does not hold"),
    _row("moto", "test_conditions[{}-size of nothing]", "raises ValueError", "answers that it does not hold"),
    _row("moto", "test_updates[{}-nothing]", "raises AttributeError", "takes an update of the key alone"),
    _row("moto", f"{_INVALID}[{{}}-a path through a number]", "takes it", "answers ValidationException"),
    _row("moto", f"{_INVALID}[{{}}-a path and one under it]", "takes it", "answers ValidationException"),
    _row("moto", f"{_INVALID}[{{}}-an empty set inside]", "takes it", "has no empty sets"),
    _row("moto", "test_the_largest_item[{}-0]", "weighs it more", "takes 400 KB of names and values"),
    _row("ministack", f"{_INVALID}[{{}}-a removal through nothing]", "takes it", "answers ValidationException"),
    _row("ministack", f"{_INVALID}[{{}}-an addition through nothing]", "makes the map", "answers ValidationException"),
    _row("ministack", f"{_INVALID}[{{}}-the same path twice]", "takes it", "answers ValidationException"),
    _row("ministack", f"{_INVALID}[{{}}-a path and one under it]", "takes it", "answers ValidationException"),
    _row("moto", "test_a_delivery_that_is_over_changes_no_later_one[{}]", "hides by an older receipt too", "wants the last one", VISIBILITY),
    _row("moto", "test_hiding_what_is_visible_again_has_no_effect[{}]", "hides it", "answers MessageNotInflight", VISIBILITY),
    _row("ministack", "test_hiding_what_is_visible_again_has_no_effect[{}]", "hides it", "answers MessageNotInflight", VISIBILITY),
)  # fmt: skip


def known(test: str) -> Difference | None:
    """The row of a test by its name with its parameters."""
    return next(
        (row for row in KNOWN if any(row.test.format(name) == test for name in _backends(row.emulator))), None
    )


def _backends(emulator: str) -> tuple[str, ...]:
    """The backends of the suite that stand on an emulator."""
    return (emulator, "lean") if emulator == "ministack" else (emulator,)


def misjudged(emulator: str, write: Write, item: Item | None) -> bool:
    """Whether the emulator is known to judge the write's condition, or to merge its sets, in another way than AWS."""
    return emulator == "moto" and (
        _mixes_types(write.require, item) or (isinstance(write, Update) and _is_empty(write))
    )


def _is_empty(update: Update) -> bool:
    return not (update.sets or update.adds or update.takes or update.removes)


def _mixes_types(condition: Condition, item: Item | None) -> bool:
    match condition:
        case All(parts) | AnyOf(parts):
            return any(_mixes_types(part, item) for part in parts)
        case Equal(path, value):
            found = _at(item, path)
            return found == value and type(found) is not type(value)
        case AtMost(path) | AtLeast(path):
            found = _at(item, path)
            return found is not None and type(found) is not int
        case SizeBelow(path):
            return _at(item, path) is None
        case _:
            return False


def _at(item: Item | None, path: Path) -> Value:
    at: Value = item
    for name in path:
        at = at.get(name) if isinstance(at, dict) else None
    return at
