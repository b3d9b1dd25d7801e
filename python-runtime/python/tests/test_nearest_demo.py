"""The model itself: plain data in and out."""

from __future__ import annotations

import subprocess
import sys

import pytest
from conftest import PACKAGE_ROOT
from serving import prompt

from dspex.samples.nearest_demo import UnreadablePromptError, answer, named_latency


def _messages(number: int, demos: int = 0) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in prompt(number, demos)]


def test_the_nearest_demo_is_copied() -> None:
    """An image that is a demo's own is answered as that demo was."""
    for demo in (0, 7, 13):
        assert answer([*_messages(0, 20)[:-1], *_messages(1000 + demo)]).digit == str(demo % 10)


def test_the_answer_has_the_form_that_was_asked_for() -> None:
    assert answer(_messages(3)).text == f"[[ ## digit ## ]]\n{answer(_messages(3)).digit}\n\n[[ ## completed ## ]]"
    *demos, (role, question) = _messages(3, 20)
    asked = (role, question + "\n\nRespond with a JSON object in the following order of fields: `digit`.")
    demos = [(role, '{\n  "digit": "4"\n}' if role == "assistant" else text) for role, text in demos]
    assert answer([*demos, asked]).text == '{"digit": "4"}', "demos are written as JSON, too"


def test_words_are_tokens() -> None:
    answered = answer([("system", "read the digit"), *_messages(3)])
    assert (answered.input_tokens, answered.output_tokens) == (3 + 5 + 64, 11)


def test_without_a_salt_the_prompt_decides() -> None:
    plain = answer(_messages(5, 30))
    assert answer(_messages(5, 30), temperature=2.0) == plain
    assert answer(_messages(5, 30), temperature=0.0, salt="7") == plain


@pytest.mark.parametrize("demos", [0, 30])
def test_a_salt_samples(demos: int) -> None:
    samples = [answer(_messages(5, demos), 1.5, str(salt)) for salt in range(40)]
    assert samples == [answer(_messages(5, demos), 1.5, str(salt)) for salt in range(40)]
    assert len({sample.digit for sample in samples}) > 2


def test_the_cooler_the_nearer() -> None:
    plain = answer(_messages(5, 30)).digit

    def agreeing(temperature: float) -> int:
        return sum(answer(_messages(5, 30), temperature, str(salt)).digit == plain for salt in range(200))

    assert agreeing(0.01) > agreeing(1.0) > agreeing(20.0)


@pytest.mark.parametrize("messages", [[], [("user", "Hello")], [("user", "[[ ## image ## ]] 1 2 3")]])
def test_other_prompts_are_refused(messages: list[tuple[str, str]]) -> None:
    with pytest.raises(UnreadablePromptError, match="reads digits only"):
        answer(messages)


def test_a_squares_number_may_be_too_large() -> None:
    with pytest.raises(UnreadablePromptError):
        answer([("user", "[[ ## image ## ]] " + " ".join(["256"] * 64))])


def test_a_name_may_say_a_latency() -> None:
    assert named_latency("digits/nearest-demo-50ms") == 0.05
    assert named_latency("digits") is None


def test_neither_the_model_nor_the_server_imports_dspy() -> None:
    code = (
        "import sys, dspex.samples.nearest_demo, dspex.samples.server.__main__; "
        "third = {name.partition('.')[0] for name in sys.modules} - sys.stdlib_module_names; "
        "assert third <= {'dspex', '__main__', '__mp_main__'}, third"
    )
    subprocess.run([sys.executable, "-S", "-c", code], cwd=PACKAGE_ROOT, check=True)
