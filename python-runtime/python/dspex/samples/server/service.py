"""What the server answers to which request, and when: everything but the connections."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from dspex.samples import nearest_demo
from dspex.samples.server import chat, embeddings, http, requests
from dspex.samples.server.attempts import Attempts
from dspex.samples.server.errors import ApiError, rate_limited, seconds
from dspex.samples.server.http import HttpRequest
from dspex.samples.server.limits import Limits
from dspex.samples.server.plan import Decision, Fault, Malformed, Plan
from dspex.samples.server.stats import ABANDONED, Outcome, Stats

_JSON = {"Content-Type": "application/json"}
_EVENTS = {"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
_MODELS = ("digits", "digits-50ms", "digits-200ms")


@dataclass(frozen=True)
class Settings:
    """All that the command line says about the answers."""

    plan: Plan = field(default_factory=Plan)
    retry_after: float = 1.0
    hang_seconds: float = 150.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    key: str | None = None


@dataclass(frozen=True)
class Reply:
    """What goes over the wire after which time. Empty for a hang: the connection closes without an answer."""

    encoded: bytes
    keep_alive: bool
    outcome: Outcome | None
    delay_seconds: float = 0.0


class Service:
    """The API."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._attempts = Attempts(settings.plan)
        self._limits = Limits(settings.requests_per_minute, settings.tokens_per_minute, clock)
        self._stats = Stats()
        self._endpoints = {
            "/v1/chat/completions": ("POST", self._chat),
            "/v1/embeddings": ("POST", self._embeddings),
            "/v1/models": ("GET", self._models),
            "/stats": ("GET", self._report),
            "/reset": ("POST", self._reset),
        }

    def handle(self, request: HttpRequest) -> Reply:
        """The reply to a request. Each is finished once, by `finish`, when it is sent or given up."""
        counted = request.path not in ("/stats", "/reset")
        if counted:
            self._stats.start()
        try:
            return self._endpoint(request)(request)
        except ApiError as error:
            return self._error(error, request.keep_alive, _refused(error) if counted else None)

    def refuse(self, error: ApiError) -> Reply:
        """The reply to what is not even a request."""
        self._stats.start()
        return self._error(error, False, _refused(error))

    def finish(self, reply: Reply, sent: bool) -> None:
        """The reply was sent, or the client left before."""
        if reply.outcome is not None:
            # A fault is one, whoever loses patience first.
            self._stats.end(reply.outcome if sent or reply.outcome.kind == "fault" else ABANDONED)

    def _endpoint(self, request: HttpRequest) -> Callable[[HttpRequest], Reply]:
        self._check_key(request.headers.get("authorization", ""))
        found = self._endpoints.get(request.path)
        if found is None:
            hint = "; use a chat model (model_type='chat')" if request.path.startswith("/v1/") else ""
            raise ApiError(
                404, f"no such path: {request.path}; there are {', '.join(self._endpoints)}{hint}", code="unknown_url"
            )
        method, endpoint = found
        if request.method != method:
            raise ApiError(405, f"{request.path} takes {method}, not {request.method}", headers={"Allow": method})
        return endpoint

    def _check_key(self, authorization: str) -> None:
        key = self._settings.key
        if key is None:
            return
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
            raise ApiError(
                401,
                "Incorrect API key provided: send `Authorization: Bearer <key>` with the key the server was given",
                code="invalid_api_key",
            )

    def _chat(self, request: HttpRequest) -> Reply:
        asked = requests.chat(request.body)
        try:
            completion = chat.complete(asked)
        except nearest_demo.UnreadablePromptError as error:
            raise ApiError(400, str(error), param="messages") from None
        outcome = Outcome("answered", "", completion.prompt_tokens, completion.completion_tokens)

        def encode(name: str, malformed: Malformed | None, headers: dict[str, str]) -> bytes:
            created = int(time.time())
            if asked.stream:
                events = chat.events(asked, completion, f"chatcmpl-{name}", created, malformed)
                return http.encode_chunks({**_EVENTS, **headers}, events, request.keep_alive)
            body = chat.whole(asked, completion, f"chatcmpl-{name}", created, malformed)
            return http.encode(200, {**_JSON, **headers}, body, request.keep_alive)

        return self._answer(request, asked.model, asked.digest, outcome, encode)

    def _embeddings(self, request: HttpRequest) -> Reply:
        asked = requests.embeddings(request.body)

        def encode(name: str, malformed: Malformed | None, headers: dict[str, str]) -> bytes:
            return http.encode(200, {**_JSON, **headers}, embeddings.whole(asked, malformed), request.keep_alive)

        outcome = Outcome("answered", "", embeddings.tokens(asked))
        return self._answer(request, asked.model, asked.digest, outcome, encode)

    def _answer(
        self,
        request: HttpRequest,
        model: str,
        digest: bytes,
        outcome: Outcome,
        encode: Callable[[str, Malformed | None, dict[str, str]], bytes],
    ) -> Reply:
        try:
            # Before the plan, which must not depend on whom a limit turned away: that is a matter of time.
            self._limits.admit(outcome.prompt_tokens + outcome.completion_tokens)
        except ApiError as error:
            return self._error(error, request.keep_alive, Outcome("rate_limited"))
        attempt, decision = self._attempts.next(digest)
        name = f"{digest.hex()}-{attempt}"
        headers = {"x-request-id": f"req_{name}", **self._limits.headers()}
        latency = nearest_demo.named_latency(model)
        latency = decision.latency_seconds if latency is None else latency
        if decision.fault is None:
            return Reply(encode(name, None, headers), request.keep_alive, outcome, latency)
        return self._fault(request, decision, latency, headers, lambda: encode(name, decision.malformed, headers))

    def _fault(
        self,
        request: HttpRequest,
        decision: Decision,
        latency: float,
        headers: dict[str, str],
        encode: Callable[[], bytes],
    ) -> Reply:
        assert decision.fault is not None
        outcome = Outcome("fault", decision.fault.value)
        if decision.fault is Fault.HANG:
            return Reply(b"", False, outcome, self._settings.hang_seconds)
        if decision.fault is Fault.RATE_LIMIT:
            # At once: who turns requests away has not worked on them.
            wait = self._settings.retry_after
            message = f"Rate limit reached (planned). Try again in {seconds(wait)} s."
            return self._error(rate_limited(message, wait, "requests", headers), request.keep_alive, outcome)
        if decision.fault is Fault.SERVER_ERROR:
            error = ApiError(500, "The server had an error (planned). Try again.", "server_error", headers=headers)
            return self._error(error, request.keep_alive, outcome, latency)
        encoded = encode()
        if decision.malformed is Malformed.CUT_OFF:
            return Reply(encoded[: -(len(encoded) // 4)], False, outcome, latency)
        return Reply(encoded, request.keep_alive, outcome, latency)

    def _models(self, request: HttpRequest) -> Reply:
        data = [{"id": name, "object": "model", "created": 0, "owned_by": "dspex"} for name in _MODELS]
        return self._json({"object": "list", "data": data}, request, Outcome("answered"))

    def _report(self, request: HttpRequest) -> Reply:
        return self._json(self._stats.snapshot(), request, None)

    def _reset(self, request: HttpRequest) -> Reply:
        self._stats.reset()
        self._attempts.reset()
        self._limits.reset()
        return self._json({}, request, None)

    def _json(self, body: object, request: HttpRequest, outcome: Outcome | None) -> Reply:
        return Reply(
            http.encode(200, _JSON, json.dumps(body).encode(), request.keep_alive), request.keep_alive, outcome
        )

    def _error(self, error: ApiError, keep_alive: bool, outcome: Outcome | None, delay_seconds: float = 0.0) -> Reply:
        encoded = http.encode(error.status, {**_JSON, **error.headers}, error.body(), keep_alive)
        return Reply(encoded, keep_alive, outcome, delay_seconds)


def _refused(error: ApiError) -> Outcome:
    return Outcome("refused", str(error.status))
