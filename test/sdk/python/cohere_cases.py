"""What applications do with Cohere's SDK, API v2."""

import json

import cohere
from cohere.core.api_error import ApiError

from expect import ANSWER, CITIES, PERSON_SCHEMA, PROMPT, TIMEOUT, TWO_CALLS, WEATHER_SCHEMA, equal, person, results, true

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather in a city", "parameters": WEATHER_SCHEMA}}]
NATIVE = {"thinking", "thinking streamed"}


def client(base_url, key):
    return cohere.ClientV2(api_key=key, base_url=base_url, timeout=TIMEOUT, max_retries=0)


def async_client(base_url, key):
    return cohere.AsyncClientV2(api_key=key, base_url=base_url, timeout=TIMEOUT, max_retries=0)


def ask(model, text=PROMPT, **more):
    return {"model": model, "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": text}], **more}


def text_of(message):
    return "".join(c.text for c in message.content or [] if c.type == "text")


def check_plain(got):
    equal("text", text_of(got.message), ANSWER)
    equal("finish reason", got.finish_reason, "COMPLETE")
    true("id", got.id)
    true("tokens", got.usage.tokens.input_tokens > 0 and got.usage.tokens.output_tokens > 0)
    true("billed units", got.usage.billed_units.input_tokens > 0)


def check_calls(calls):
    equal("cities", [json.loads(c.function.arguments)["city"] for c in calls], CITIES)
    true("ids differ", len({c.id for c in calls}) == 2)


def second_turn(request, calls):
    """The request that answers the calls, as the vendor's guide does it."""
    turn = [{"role": "assistant", "tool_plan": "I will look both up.", "tool_calls": calls}]
    for c in calls:
        document = {"type": "document", "document": {"data": {"weather": "=sunny in " + json.loads(c.function.arguments)["city"]}}}
        turn.append({"role": "tool", "tool_call_id": c.id, "content": [document]})
    return {**request, "messages": request["messages"] + turn}


def check_stop(got):
    equal("text", text_of(got.message), "echo: tell")
    true("finish reason", got.finish_reason in ("COMPLETE", "STOP_SEQUENCE"))


def check_thinking(message):
    equal("first block", message.content[0].type, "thinking")
    true("thinking", message.content[0].thinking)
    equal("text", text_of(message), ANSWER)


# Requests with what their answers must be, for both clients.
SIMPLE = {
    "plain": (lambda m: ask(m), check_plain),
    "no tool": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, tool_choice="NONE"), lambda got: equal("text", text_of(got.message), "echo: " + TWO_CALLS)),
    "forced tool": (lambda m: ask(m, tools=TOOLS, tool_choice="REQUIRED"), lambda got: equal("calls", len(got.message.tool_calls), 1)),
    "strict tools": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, strict_tools=True), lambda got: check_calls(got.message.tool_calls)),
    "structured output": (lambda m: ask(m, response_format={"type": "json_object", "json_schema": PERSON_SCHEMA}), lambda got: person(text_of(got.message))),
    "length": (lambda m: ask(m, max_tokens=2), lambda got: equal("stop", (text_of(got.message), got.finish_reason), ("echo: tell", "MAX_TOKENS"))),
    "stop": (lambda m: ask(m, stop_sequences=[" me"]), check_stop),
    "sampling": (lambda m: ask(m, temperature=0.2, p=0.9, k=20, seed=3, frequency_penalty=0.1), check_plain),
    "thinking": (lambda m: ask(m, thinking={"type": "enabled", "token_budget": 1024}), lambda got: check_thinking(got.message)),
}


def simple(build, check):
    return lambda c, model: check(c.chat(**build(model)))


def simple_async(build, check):
    async def case(c, model):
        check(await c.chat(**build(model)))
    return case


class Collected:
    """What the events of a stream add up to; their order is checked on the way."""

    def __init__(self):
        self.kinds, self.text, self.thinking, self.calls, self.end = [], "", "", [], None

    def add(self, event):
        self.kinds.append(event.type)
        true("nothing behind message-end", self.end is None)
        if event.type == "content-delta":
            content = event.delta.message.content
            self.text += content.text or ""
            self.thinking += content.thinking or ""
        elif event.type == "tool-call-start":
            self.calls.append(event.delta.message.tool_calls)
        elif event.type == "tool-call-delta":
            self.calls[event.index].function.arguments += event.delta.message.tool_calls.function.arguments
        elif event.type == "message-end":
            self.end = event.delta
            equal("error", self.end.error, None)

    def check(self, finish):
        equal("first and last", (self.kinds[0], self.kinds[-1]), ("message-start", "message-end"))
        for what in ("content", "tool-call"):
            equal(what, self.kinds.count(what + "-start"), self.kinds.count(what + "-end"))
        equal("finish reason", self.end.finish_reason, finish)
        true("tokens", self.end.usage.tokens.output_tokens > 0)


def collect(c, request):
    got = Collected()
    for event in c.chat_stream(**request):
        got.add(event)
    return got


async def collect_async(c, request):
    got = Collected()
    async for event in c.chat_stream(**request):
        got.add(event)
    return got


def stream(c, model):
    got = collect(c, ask(model))
    got.check("COMPLETE")
    equal("text", got.text, ANSWER)


async def stream_async(c, model):
    got = await collect_async(c, ask(model))
    got.check("COMPLETE")
    equal("text", got.text, ANSWER)


def thinking_streamed(c, model):
    got = collect(c, ask(model, thinking={"type": "enabled"}))
    got.check("COMPLETE")
    equal("text", got.text, ANSWER)
    true("thinking", got.thinking)


def tools(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    got = c.chat(**request)
    equal("finish reason", got.finish_reason, "TOOL_CALL")
    check_calls(got.message.tool_calls)
    results(text_of(c.chat(**second_turn(request, got.message.tool_calls)).message))


async def tools_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    got = await c.chat(**request)
    check_calls(got.message.tool_calls)
    results(text_of((await c.chat(**second_turn(request, got.message.tool_calls))).message))


def tools_streamed(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    got = collect(c, request)
    got.check("TOOL_CALL")
    check_calls(got.calls)
    results(text_of(c.chat(**second_turn(request, got.calls)).message))


async def tools_streamed_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    got = await collect_async(c, request)
    got.check("TOOL_CALL")
    check_calls(got.calls)
    results((await collect_async(c, second_turn(request, got.calls))).text)


def check_error(error, kind, status):
    true(f"a {kind.__name__}, not {error!r}", isinstance(error, kind))
    equal("status", error.status_code, status)
    true("message", error.body["message"])


def refusal(kind, status, build):
    def case(c, model):
        try:
            c.chat(**build(model))
        except ApiError as error:
            return check_error(error, kind, status)
        raise AssertionError(f"no {kind.__name__}")

    async def case_async(c, model):
        try:
            await c.chat(**build(model))
        except ApiError as error:
            return check_error(error, kind, status)
        raise AssertionError(f"no {kind.__name__}")

    return case, case_async


REFUSALS = {
    "unknown model": refusal(cohere.NotFoundError, 404, lambda m: ask("no-such-model")),
    "bad request": refusal(cohere.BadRequestError, 400, lambda m: ask(m, max_tokens=-1)),
}

SYNC = {name: simple(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream, "thinking streamed": thinking_streamed, "tools": tools, "tools streamed": tools_streamed,
} | {name: pair[0] for name, pair in REFUSALS.items()}
ASYNC = {name: simple_async(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream_async, "tools": tools_async, "tools streamed": tools_streamed_async,
} | {name: pair[1] for name, pair in REFUSALS.items()}
