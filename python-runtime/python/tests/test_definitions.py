"""What a program is made of, from what a driver has: and that a worker builds the same of it."""

from __future__ import annotations

from typing import Any, Literal, Optional

import dspy
import pytest
from pydantic import BaseModel

import dspex
from dspex.definitions import definition_of
from dspex.runtime import programs
from dspex.stored_requests import from_json, to_json


class Page(BaseModel):
    title: str


class Judge(dspy.Signature):
    """Say how good an answer is."""

    question: str = dspy.InputField(desc="what was asked")
    context: list[str] = dspy.InputField()
    hint: Optional[str] = dspy.InputField()
    image: dspy.Image = dspy.InputField()
    score: float = dspy.OutputField(desc="0 to 1")
    verdict: Literal["good", "bad"] = dspy.OutputField()


def rebuilt(definition: dict[str, Any]) -> Any:
    """By a worker, of what was stored."""
    stored = from_json(to_json("the definition", definition))
    built = programs.Programs()
    built.create(id="it", **stored)
    return built._built[programs._name("it")]._module


def test_signatures_references_and_dicts_are_definitions() -> None:
    assert definition_of("q -> a") == {"signature": "q -> a"}
    assert definition_of("qa.py:program") == {"program": "qa.py:program"}
    assert definition_of({"signature": "q -> a", "module": "predict"}) == {"signature": "q -> a", "module": "predict"}
    with pytest.raises(TypeError, match=r"dspy\.Predict or dspy\.ChainOfThought"):
        definition_of(5)


@pytest.mark.parametrize("kind", [dspy.Predict, dspy.ChainOfThought])
def test_a_module_comes_back_as_it_was(kind: Any) -> None:
    module = kind(Judge)
    predictor = module.predictors()[0]
    predictor.demos = [dspy.Example(question="q", score=0.5, verdict="good")]
    definition = definition_of(module)
    assert [field["type"] for field in definition["signature"]["inputs"]] == [
        "str",
        "list[str]",
        "str | None",
        "dspy.Image",
    ]
    assert [field["name"] for field in definition["signature"]["outputs"]] == ["score", "verdict"]
    again = rebuilt(definition)
    assert type(again) is kind
    (one,) = again.predictors()
    assert one.signature.instructions == "Say how good an answer is."
    before, after = predictor.signature.fields, one.signature.fields
    assert list(after) == list(before)
    assert {name: field.annotation for name, field in after.items()} == {
        name: field.annotation for name, field in before.items()
    }
    assert after["score"].json_schema_extra["desc"] == "0 to 1"
    assert [dict(demo) for demo in one.demos] == [{"question": "q", "score": 0.5, "verdict": "good"}]


def test_what_other_processes_cannot_find_is_named() -> None:
    class Asks(dspy.Signature):
        question: str = dspy.InputField()
        page: Page = dspy.OutputField()

    with pytest.raises(dspex.DefinitionInvalid, match=r"the field 'page' has the type test_definitions\.Page"):
        definition_of(dspy.Predict(Asks))


def test_a_module_of_ones_own_is_stored_as_a_reference() -> None:
    class Own(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.predict = dspy.Predict("q -> a")

    with pytest.raises(dspex.DefinitionInvalid, match="a Own is made of code: store it as a reference"):
        definition_of(Own())
