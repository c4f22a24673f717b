"""Payloads that a codec has sealed, as code meets them that cannot open them; texts that UTF-8 cannot hold; ids."""

from __future__ import annotations

import pytest
from support.records import plan, task

from headrace.core.run.ids import checked_run_id, split_task_run_id, task_run_id, workflow_id
from headrace.core.run.plans.plan import RunPlan
from headrace.core.sealed import NO_CODEC, check_opened, opened, readable, reason_of
from headrace.core.texts import storable
from headrace.errors import PayloadSealedError, RunNotFound

SEALED = '{"$sealed":"abc"}'
EXPLAINED = '{"$sealed":"abc","$why":"its key k2 is not here"}'


@pytest.mark.parametrize("text", [None, "", "{}", '{"sealed":1}', '{"a":{"$sealed":"x"}}'])
def test_a_text_that_is_not_sealed_is_given_back(text: str | None) -> None:
    assert opened("the input", text) == text


@pytest.mark.parametrize(("text", "why"), [(SEALED, NO_CODEC), (EXPLAINED, "its key k2 is not here")])
def test_a_sealed_text_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(PayloadSealedError, match="the input") as caught:
        opened("the input", text)
    assert why in str(caught.value)
    assert reason_of(text) == why


def test_a_sealed_text_that_was_cut_has_the_usual_reason() -> None:
    assert reason_of(EXPLAINED[:-5]) == NO_CODEC


@pytest.mark.parametrize("value", [None, 1, "x", [], {"$sealed": 1}, {"$sealed": "x", "mine": 1}])
def test_a_value_of_the_user_is_not_taken_for_a_sealed_one(value: object) -> None:
    check_opened("the result", value)


@pytest.mark.parametrize(
    "value", [{"$sealed": "x"}, {"$sealed": "x", "$why": "w"}, {"$sealed": "x", "$by": 1}]
)
def test_a_sealed_value_is_refused(value: object) -> None:
    with pytest.raises(PayloadSealedError, match="the result"):
        check_opened("the result", value)


TOLD = f"(sealed by a payload codec, 3 characters: {NO_CODEC})"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (7, 7),
        ("plain", "plain"),
        ("$sealed:abc", TOLD),
        ("error: '$sealed:abc'", f"error: '{TOLD}'"),
        ("$sealed-bytes:abc", TOLD),
        ("$sealed:abc|0123456789ab|no such key", "(sealed by a payload codec, 3 characters: no such key)"),
        ({"$sealed": "abc", "$why": "w"}, "(sealed by a payload codec, 3 characters: w)"),
        ({"a": ["$sealed:abc", {"b": {"$sealed": "abc"}}]}, {"a": [TOLD, {"b": TOLD}]}),
    ],
    ids=str,
)
def test_people_are_shown_a_sentence_in_place_of_what_is_sealed(value: object, shown: object) -> None:
    assert readable(value) == shown


@pytest.mark.parametrize(
    ("text", "kept"),
    [("", ""), ("Grüße 👋", "Grüße 👋"), ("caf\udce9", "caf\\udce9"), ("\ud83d!", "\\ud83d!")],
)
def test_a_lone_surrogate_is_stored_as_its_escape(text: str, kept: str) -> None:
    assert storable(text) == kept
    storable(text).encode()


FLOW = plan(task("a"))
ALONE = RunPlan(workflow="charge", version="1", tasks=(task("charge"),), standalone=True)


@pytest.mark.parametrize(
    ("of", "name", "id", "parts"),
    [(FLOW, "a", "r1:a", ("r1", "a")), (ALONE, "charge", "r1", ("r1", None))],
    ids=["of a workflow", "standalone"],
)
def test_the_id_of_a_task_run(of: RunPlan, name: str, id: str, parts: tuple[str, str | None]) -> None:
    assert task_run_id(of, "r1", name) == id
    assert split_task_run_id(id) == parts


@pytest.mark.parametrize("given", ["r1", "r1:a", "x" * 500])
def test_an_id_that_a_run_can_have(given: str) -> None:
    assert checked_run_id(given) == given


@pytest.mark.parametrize("given", ["x" * 501, "caf\udce9"], ids=["too long", "no UTF-8"])
def test_an_id_that_no_run_can_have(given: str) -> None:
    with pytest.raises(RunNotFound):
        checked_run_id(given)


def test_an_id_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a run id is a str, not int: give ref\.workflow_run_id"):
        checked_run_id(7)


def test_the_id_of_a_workflow_follows_from_its_name_and_never_changes() -> None:
    assert workflow_id("flow") == "142f57a0-206c-5725-a4c8-7deff5bc7f97"
    assert workflow_id("Flow") != workflow_id("flow")
