"""Where DSPex holds on to dspy beside its public interface: not the same places in each version.

dspy 3.4 asks engines and finishes every call in `dspy.clients.execution`. dspy 3.3 has neither: the `forward` of an LM
answers, and two methods of BaseLM finish the call. What else of this package touches dspy is the same for both.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from types import SimpleNamespace
from typing import Any, Protocol

import dspy
import pydantic
from dspy import clients
from dspy.adapters import utils as adapter_utils
from dspy.clients import base_lm

HAS_ENGINES = importlib.util.find_spec("dspy.clients.execution") is not None


class Answer(Protocol):
    """An answer that was paid for, as the watcher keeps it."""

    usage: Any


class Watcher(Protocol):
    """Is told of the calls of one example."""

    def answered(self, model: str, usage: Any, cost: Any) -> Answer:
        """An answer came, and not from the cache. It is paid, whatever becomes of the call."""

    def remember(self, history: list[Any], modules: Any) -> None:
        """One more call, which dspy enters into these histories."""


# The adapters of these say the same of every value, whoever made them.
_PLAIN = (str, int, float, bool, list, dict, type(None))

_Replacement = tuple[Any, str, Callable[..., Any]]


def watch(current: Callable[[], Watcher | None]) -> Callable[[], None]:
    """Tell the `current` watcher, if there is one, of each call from here on; what is returned ends that."""
    replacements = list(_in_execution(current) if HAS_ENGINES else _in_base_lm(current))
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replacements]
    for owner, name, replacement in replacements:
        setattr(owner, name, replacement)

    def stop() -> None:
        for owner, name, original in originals:
            setattr(owner, name, original)

    return stop


def keep_plain_adapters() -> None:
    """Have dspy make pydantic's adapters of plain types once, from here on.

    It makes one for each value that it shows to the model: a quarter of the time that a short prediction takes beside
    its model. Adapters of the user's types are made each time as before, because a class can change.
    """
    made = pydantic.TypeAdapter
    if adapter_utils.TypeAdapter is not made:
        return  # Done already, or somebody else's.
    kept = {kind: made(kind) for kind in _PLAIN}

    def adapter(kind: Any, *arguments: Any, **settings: Any) -> Any:
        if type(kind) is type and kind in kept and not arguments and not settings:
            return kept[kind]
        return made(kind, *arguments, **settings)

    adapter_utils.TypeAdapter = adapter


def on_history(note: Callable[[Any, Any], None]) -> None:
    """Have `note` called with an LM and each entry that it is about to enter into its histories, from here on."""
    if not hasattr(base_lm, "record_history"):
        _note_before(base_lm.BaseLM, "update_history", note)  # dspy 3.3.
        return
    _note_before(base_lm, "record_history", note)
    if importlib.util.find_spec("dspy.clients.typesafe") is not None:
        from dspy.clients import typesafe

        # It has the function under a name of its own.
        _note_before(typesafe, "record_history", note)


def enter_history(client: Any, entry: Any) -> None:
    """Enter it into `client.history`, the calling modules' and the global one, bounded as dspy bounds them."""
    # The base class's: a method of the LM's own may write elsewhere, too, and has done so in the worker.
    base_lm.BaseLM.update_history(client, entry)


def is_adapters_call(lm: Any, messages: Any) -> bool:
    """Whether it is dspy's own adapter that calls this LM with these messages. To everybody else dspy says that such
    messages are deprecated; dspy 3.3 says nothing."""
    marked = getattr(_marks(), "_adapter_call", None)
    origin = marked.get() if marked is not None else None
    return origin is not None and origin[0] is lm and origin[1] is messages


def adapters_call(lm: Any, messages: Any) -> AbstractContextManager[Any]:
    """In the block a call of this LM with these messages is an adapter's."""
    mark = getattr(_marks(), "adapter_message_call", None)
    return nullcontext() if mark is None else mark(lm, messages)


def _marks() -> Any:
    try:
        from dspy.clients import _deprecation
    except ImportError:
        return None
    return _deprecation


def scripted_lm(text: str) -> Any:
    """An LM that always answers this, on the way that an answer of dspy.LM takes."""
    return _lm_with_engine(text) if HAS_ENGINES else _lm_with_forward(text)


def put_off_cache() -> None:
    """Leave the cache to the workers, each of which opens it where its own environment says when it first needs it.

    dspy 3.4 does so by itself. dspy 3.3 opens it when it is imported, and open databases must not go through a fork.
    """
    opened = vars(dspy).pop("cache", None)
    if opened is None:
        return
    if opened.enable_disk_cache:
        opened.disk_cache.close()
    opening = threading.Lock()

    def missing(name: str) -> Any:
        if name != "cache":
            raise AttributeError(f"module {dspy.__name__!r} has no attribute {name!r}")
        with opening:
            if "cache" not in vars(dspy):
                dspy.cache = clients._get_dspy_cache()
            return dspy.cache

    dspy.__getattr__ = missing


@contextmanager
def lazy_modules_asleep() -> Iterator[None]:
    """Let nothing that walks over `sys.modules` in the block load a library that dspy only imports when needed.

    dspy 3.3 puts stand-ins there (3.4 does not) and looks at every module in each call, which loads them all. NumPy
    starts threads when it is loaded, as many as the environment says: not in a process that forks.
    """
    asleep = {name: module for name, module in sys.modules.items() if type(module).__name__ == "_LazyModule"}
    for name in asleep:
        del sys.modules[name]
    try:
        yield
    finally:
        for name, module in asleep.items():
            sys.modules.setdefault(name, module)


def _note_before(owner: Any, name: str, note: Callable[[Any, Any], None]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    def noting(client: Any, entry: Any) -> Any:
        note(client, entry)
        return original(client, entry)

    setattr(owner, name, noting)


def _in_execution(current: Callable[[], Watcher | None]) -> Iterator[_Replacement]:
    """dspy 3.4."""
    from dspy.clients import execution

    finalize = execution.finalize
    account_failed_call = execution._account_failed_call

    @functools.wraps(finalize)
    def watched_finalize(lm: Any, call: Any, result: Any) -> Any:
        watcher = current()
        if watcher is not None:
            if not result.cache_hit:  # dspy keeps the historical cost of a cached answer; it was not paid again.
                watcher.answered(lm.model, result.usage, result.cost)
            watcher.remember(lm.history, dspy.settings.caller_modules or ())
        return finalize(lm, call, result)

    @functools.wraps(account_failed_call)
    def watched_failure(lm: Any, results: Any, primary: BaseException) -> None:
        """A call may fail when parts of it have been answered: the second of two candidates, a closing stream."""
        watcher = current()
        if watcher is not None:
            for result in results:
                try:
                    if not result.cache_hit:
                        watcher.answered(lm.model, result.usage, result.cost)
                except Exception:
                    pass  # As in dspy: what cannot be counted must not hide why the call failed.
        account_failed_call(lm, results, primary)

    yield execution, "finalize", watched_finalize
    yield execution, "_account_failed_call", watched_failure


def _in_base_lm(current: Callable[[], Watcher | None]) -> Iterator[_Replacement]:
    """dspy 3.3. A call with an LMRequest to an LM of the older kind passes through both methods and counts once."""
    process = base_lm.BaseLM._process_lm_response
    finalize = base_lm.BaseLM._finalize_lm_response
    # What the first method saw last, and what was noted of it.
    processed: ContextVar[tuple[Any, Answer | None]] = ContextVar("dspex_processed", default=(None, None))

    @functools.wraps(process)
    def watched_process(lm: Any, response: Any, prompt: Any, messages: Any, **kwargs: Any) -> Any:
        watcher = current()
        if watcher is not None:
            answer = None
            # Before dspy reads the response, which may fail: it is paid by now.
            if not getattr(response, "cache_hit", False):
                answer = watcher.answered(lm.model, _usage(response), _cost(response))
            processed.set((response, answer))
            watcher.remember(lm.history, dspy.settings.caller_modules or ())
        return process(lm, response, prompt, messages, **kwargs)

    @functools.wraps(finalize)
    def watched_finalize(lm: Any, request: Any, response: Any) -> Any:
        watcher = current()
        if watcher is not None:
            provider_response, answer = processed.get()
            if provider_response is None or response.provider_response is not provider_response:
                if not response.cache_hit:
                    watcher.answered(lm.model, response.usage_as_dict(), response.cost)
                watcher.remember(lm.history, dspy.settings.caller_modules or ())
            elif answer is not None:
                answer.usage = response.usage_as_dict()  # With the names that dspy.track_usage has for such calls.
        return finalize(lm, request, response)

    yield base_lm.BaseLM, "_process_lm_response", watched_process
    yield base_lm.BaseLM, "_finalize_lm_response", watched_finalize


def _usage(response: Any) -> dict[str, Any]:
    try:
        return dict(getattr(response, "usage", None) or {})
    except Exception:
        return {}  # No mapping: dspy says so itself where that matters to it.


def _cost(response: Any) -> Any:
    hidden = getattr(response, "_hidden_params", None)
    return hidden.get("response_cost") if isinstance(hidden, dict) else None


def _lm_with_engine(text: str) -> Any:
    from dspy.lm15 import Message, Request, Response, TextPart, Usage

    class Engine:
        def complete(self, request: Request) -> Response:
            return Response(
                id=None,
                model=request.model,
                message=Message.assistant([TextPart(text)]),
                finish_reason="stop",
                usage=Usage(input_tokens=1, output_tokens=1, total_tokens=2),
            )

        def close(self) -> None:
            pass

    return dspy.LM("dspex/scripted", engine=Engine(), cache=False)


def _lm_with_forward(text: str) -> Any:
    class LM(dspy.BaseLM):  # type: ignore[misc]
        # As dspy.LM in this version.
        forward_contract = "legacy"

        def forward(self, prompt: Any = None, messages: Any = None, **kwargs: Any) -> Any:
            message = SimpleNamespace(content=text, tool_calls=None)
            usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
            choice = SimpleNamespace(message=message, finish_reason="stop")
            return SimpleNamespace(choices=[choice], usage=usage, model=self.model)

    return LM("dspex/scripted", cache=False)
