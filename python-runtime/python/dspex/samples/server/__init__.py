"""An OpenAI-compatible server on this machine: a model that is always the same, with trouble on demand and by a seed.

    python -m dspex.samples.server --port 8080 --latency-ms 200 --rate-429 0.1 --rate-hang 0.01 --seed 7
    {"url": "http://127.0.0.1:8080/v1", "pid": 4711}

    dspy.LM("openai/digits", api_base="http://127.0.0.1:8080/v1", api_key="any", cache=False)

It needs no dspy and nothing but the standard library. The model is the one of `dspex.samples.digits`: it reads a digit
by the demos in the prompt, and has the same scores over HTTP as in the process. A model may have any name, and one that
ends in `-50ms` takes that long.

Endpoints:

* `POST /v1/chat/completions`, with `n`, `stream` and `stream_options.include_usage`. Samples (`temperature` above 0)
  differ by the request's `seed` (or `salt`, any text) and by the choice's number; without one, all are the answer
  itself.
* `POST /v1/embeddings`: hashed character trigrams of length 1, `dimensions` as asked (64), floats or base64.
* `GET /v1/models`
* `GET /stats`: counts since the start or the last reset. `requests` is the sum of `answered`, `faults`, `rate_limited`,
  `refused`, `abandoned` (the client left while it waited) and `in_flight`. Neither this nor the next is counted.
* `POST /reset`: the counts, attempts and limits start anew.

Trouble is a function of the seed, the request and how often that request came: the same run meets the same trouble
whatever the order and the concurrency (see `plan`). What is the same request is said in `requests`. A rate limit
(`--requests-per-minute`, `--tokens-per-minute`) is not planned but real: it depends on time, as a provider's does, and
a request that it turns away is no attempt.
"""
