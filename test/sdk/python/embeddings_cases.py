"""What applications do with the SDKs beside chat: vectors, rankings, counts of tokens. Each class stands for a module of
cases as run.py takes them."""

import base64
import struct

import openai

import anthropic_cases
import cohere_cases
import openai_cases
from expect import WEATHER_SCHEMA, equal, refused, refused_async, true

TEXTS = ["the weather in Paris", "the weather in Paris", "quantum chromodynamics"]
DOCUMENTS = ["Lyon is a city of France", "bananas are yellow", "Paris is the capital of France", "the sea"]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def unpack(text):
    raw = base64.b64decode(text)
    return struct.unpack(f"<{len(raw) // 4}f", raw)


def check_vectors(vectors, size):
    equal("dimensions", {len(v) for v in vectors}, {size})
    equal("vectors", len(vectors), len(TEXTS))
    for v in vectors:
        true("length 1", abs(dot(v, v) - 1) < 1e-3)
    true("equal texts are alike", abs(dot(vectors[0], vectors[1]) - 1) < 1e-3)
    true("other texts are not", abs(dot(vectors[0], vectors[2])) < 0.5)


def awaited(build):
    """Both forms of a case that makes one call and checks its answer."""
    def case(c, model):
        call, check = build(c, model)
        check(call())

    async def case_async(c, model):
        call, check = build(c, model)
        check(await call())

    return case, case_async


def module(source, cases, sync=None, async_=None):
    """A module of cases with the clients of source."""
    class Module:
        NATIVE = set()
        client, async_client = staticmethod(source.client), staticmethod(source.async_client)
        SYNC = {name: pair[0] for name, pair in cases.items()} | (sync or {})
        ASYNC = {name: pair[1] for name, pair in cases.items()} | (async_ or {})
    return Module


def check_openai(size):
    def check(got):
        equal("order", [d.index for d in got.data], list(range(len(got.data))))
        check_vectors([d.embedding for d in got.data], size)
        true("usage", got.usage.prompt_tokens > 0 and got.usage.total_tokens == got.usage.prompt_tokens)
        true("model", got.model)
    return check


def unknown_model(c, model):
    refused(openai.NotFoundError, lambda: c.embeddings.create(model="no-such-model", input=TEXTS))


async def unknown_model_async(c, model):
    await refused_async(openai.NotFoundError, lambda: c.embeddings.create(model="no-such-model", input=TEXTS))


# Without encoding_format this SDK asks for base64 and unpacks the vectors itself.
OPENAI = module(openai_cases, {
    "packed by the SDK": awaited(lambda c, m: (lambda: c.embeddings.create(model=m, input=TEXTS), check_openai(1536))),
    "float": awaited(lambda c, m: (lambda: c.embeddings.create(model=m, input=TEXTS, encoding_format="float"), check_openai(1536))),
    "base64": awaited(lambda c, m: (lambda: c.embeddings.create(model=m, input=TEXTS, encoding_format="base64"),
                                    lambda got: check_vectors([unpack(d.embedding) for d in got.data], 1536))),
    "dimensions": awaited(lambda c, m: (lambda: c.embeddings.create(model=m, input=TEXTS, dimensions=256), check_openai(256))),
    "one text": awaited(lambda c, m: (lambda: c.embeddings.create(model=m, input=TEXTS[0], encoding_format="float"),
                                      lambda got: equal("dimensions", len(got.data[0].embedding), 1536))),
}, {"unknown model": unknown_model}, {"unknown model": unknown_model_async})


def check_cohere(size):
    def check(got):
        check_vectors(got.embeddings.float_, size)
        true("billed", got.meta.billed_units.input_tokens > 0)
        equal("texts", got.texts, TEXTS)
    return check


def embed(c, m, kind="search_document", **more):
    return lambda: c.embed(model=m, input_type=kind, texts=TEXTS, **more)


COHERE = module(cohere_cases, {
    "float": awaited(lambda c, m: (embed(c, m, embedding_types=["float"]), check_cohere(1536))),
    "default type": awaited(lambda c, m: (embed(c, m, "search_query"), check_cohere(1536))),
    "base64": awaited(lambda c, m: (embed(c, m, embedding_types=["base64"]),
                                    lambda got: check_vectors([unpack(v) for v in got.embeddings.base64], 1536))),
    "dimensions": awaited(lambda c, m: (embed(c, m, embedding_types=["float"], output_dimension=512), check_cohere(512))),
})


def rerank(c, m, **more):
    return lambda: c.rerank(model=m, query="capital of France", documents=DOCUMENTS, **more)


def check_ranking(want):
    def check(got):
        equal("order", [r.index for r in got.results][:len(want)], want)
        scores = [r.relevance_score for r in got.results]
        equal("sorted", scores, sorted(scores, reverse=True))
        true("scores", all(0 <= s <= 1 for s in scores))
    return check


RERANK = module(cohere_cases, {
    "all": awaited(lambda c, m: (rerank(c, m), check_ranking([2, 0]))),
    "top": awaited(lambda c, m: (rerank(c, m, top_n=1), lambda got: equal("places", [r.index for r in got.results], [2]))),
})


def count(c, m, **more):
    return lambda: c.messages.count_tokens(model=m, messages=[{"role": "user", "content": "tell me more"}], **more)


COUNT = module(anthropic_cases, {
    "plain": awaited(lambda c, m: (count(c, m), lambda got: true("tokens", got.input_tokens > 0))),
    "tools": awaited(lambda c, m: (count(c, m, system="You are terse.", tools=[{"name": "get_weather", "input_schema": WEATHER_SCHEMA}]),
                                   lambda got: true("tokens", got.input_tokens > 3))),
})

MODULES = {"openai-embeddings": OPENAI, "cohere-embeddings": COHERE, "cohere-rerank": RERANK, "anthropic-count": COUNT}
