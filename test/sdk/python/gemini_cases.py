"""What applications do with Google's Gen AI SDK, on the Gemini API."""

import base64

from google import genai
from google.genai import errors, types

from expect import (ANSWER, CITIES, PERSON_SCHEMA, PROMPT, TIMEOUT, TWO_CALLS, WEATHER_SCHEMA, equal, person, refused,
                    refused_async, results, true)

TOOLS = [{"function_declarations": [{"name": "get_weather", "description": "The weather in a city", "parameters_json_schema": WEATHER_SCHEMA}]}]
NATIVE = {"thinking", "thinking streamed", "count tokens"}
PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")
NO_CALLS = {"automatic_function_calling": {"disable": True}}


def options(base_url):
    return types.HttpOptions(base_url=base_url, timeout=int(TIMEOUT * 1000), retry_options=types.HttpRetryOptions(attempts=1))


def client(base_url, key):
    return genai.Client(api_key=key, http_options=options(base_url))


def async_client(base_url, key):
    return genai.Client(api_key=key, http_options=options(base_url)).aio


def ask(model, contents=PROMPT, **config):
    return {"model": model, "contents": contents, "config": {"system_instruction": "You are terse.", "max_output_tokens": 500, **NO_CALLS, **config}}


def calling(mode, *names):
    config = {"mode": mode}
    if names:
        config["allowed_function_names"] = list(names)
    return {"function_calling_config": config}


def finish(got):
    return got.candidates[0].finish_reason.value


def check_plain(got):
    equal("text", got.text, ANSWER)
    equal("finish reason", finish(got), "STOP")
    usage = got.usage_metadata
    true("usage", usage.prompt_token_count > 0 and usage.candidates_token_count > 0 and usage.total_token_count > 0)
    true("id and model", got.response_id and got.model_version)


def calls_of(parts):
    return [p.function_call for p in parts if p.function_call]


def check_calls(parts):
    equal("cities", [c.args["city"] for c in calls_of(parts)], CITIES)


def second_turn(request, parts):
    """The request that answers the calls among parts."""
    answers = [types.Part(function_response=types.FunctionResponse(id=c.id, name=c.name, response={"output": "sunny in " + c.args["city"]}))
               for c in calls_of(parts)]
    first = types.Content(role="user", parts=[types.Part(text=request["contents"])])
    return {**request, "contents": [first, types.Content(role="model", parts=parts), types.Content(role="user", parts=answers)]}


def check_thinking(parts):
    true("thoughts", "".join(p.text for p in parts if p.thought))
    true("a signed call", any(p.function_call and p.thought_signature for p in parts))
    check_calls(parts)


def image(model):
    return ask(model, [PROMPT, types.Part.from_bytes(data=PIXEL, mime_type="image/png")])


# Requests with what their answers must be, for both clients.
SIMPLE = {
    "plain": (lambda m: ask(m), check_plain),
    "no tool": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, tool_config=calling("NONE")), lambda got: equal("text", got.text, "echo: " + TWO_CALLS)),
    "forced tool": (lambda m: ask(m, tools=TOOLS, tool_config=calling("ANY")), lambda got: equal("calls", len(got.function_calls), 1)),
    "named tool": (lambda m: ask(m, tools=TOOLS, tool_config=calling("ANY", "get_weather")), lambda got: equal("calls", len(got.function_calls), 1)),
    "structured output": (lambda m: ask(m, response_mime_type="application/json", response_json_schema=PERSON_SCHEMA), lambda got: person(got.text)),
    "structured output by Google's schema": (
        lambda m: ask(m, response_mime_type="application/json", response_schema={
            "type": "OBJECT", "properties": {"name": {"type": "STRING"}, "age": {"type": "INTEGER"}}, "required": ["name", "age"]}),
        lambda got: person(got.text)),
    "image": (image, lambda got: equal("text", got.text, ANSWER)),
    "length": (lambda m: ask(m, max_output_tokens=2), lambda got: equal("stop", (got.text, finish(got)), ("echo: tell", "MAX_TOKENS"))),
    "stop": (lambda m: ask(m, stop_sequences=[" me"]), lambda got: equal("stop", (got.text, finish(got)), ("echo: tell", "STOP"))),
    "sampling": (lambda m: ask(m, temperature=0.5, top_p=0.9, top_k=20, seed=3), check_plain),
}


def simple(build, check):
    return lambda c, model: check(c.models.generate_content(**build(model)))


def simple_async(build, check):
    async def case(c, model):
        check(await c.models.generate_content(**build(model)))
    return case


class Collected:
    """What the pieces of a stream add up to."""

    def __init__(self):
        self.parts, self.text, self.last = [], "", None

    def add(self, piece):
        true("nothing behind the reason to stop", self.last is None or self.last.candidates[0].finish_reason is None)
        self.last = piece
        content = piece.candidates[0].content
        self.parts += content.parts or [] if content else []
        self.text += "".join(p.text or "" for p in (content.parts or []) if not p.thought) if content else ""

    def check(self):
        equal("finish reason", finish(self.last), "STOP")
        true("usage", self.last.usage_metadata.prompt_token_count > 0)


def collect(c, request):
    got = Collected()
    for piece in c.models.generate_content_stream(**request):
        got.add(piece)
    got.check()
    return got


async def collect_async(c, request):
    got = Collected()
    async for piece in await c.models.generate_content_stream(**request):
        got.add(piece)
    got.check()
    return got


def stream(c, model):
    equal("text", collect(c, ask(model)).text, ANSWER)


async def stream_async(c, model):
    equal("text", (await collect_async(c, ask(model))).text, ANSWER)


def tools(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    parts = c.models.generate_content(**request).candidates[0].content.parts
    check_calls(parts)
    results(c.models.generate_content(**second_turn(request, parts)).text)


async def tools_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    parts = (await c.models.generate_content(**request)).candidates[0].content.parts
    check_calls(parts)
    results((await c.models.generate_content(**second_turn(request, parts))).text)


def tools_streamed(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    parts = collect(c, request).parts
    check_calls(parts)
    results(collect(c, second_turn(request, parts)).text)


async def tools_streamed_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    parts = (await collect_async(c, request)).parts
    check_calls(parts)
    results((await collect_async(c, second_turn(request, parts))).text)


def function(c, model):
    """The SDK calls a Python function by itself, and sends its result."""
    asked = []

    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "sunny in " + city

    got = c.models.generate_content(model=model, contents=TWO_CALLS, config={"tools": [get_weather]})
    equal("cities", asked, CITIES)
    true("results", all("sunny in " + city in got.text for city in CITIES))


def chat(c, model):
    session = c.chats.create(model=model)
    for _ in range(2):
        equal("text", session.send_message(PROMPT).text, ANSWER)
    equal("text", "".join(piece.text or "" for piece in session.send_message_stream(PROMPT)), ANSWER)
    equal("text", session.send_message(PROMPT).text, ANSWER)


async def chat_async(c, model):
    session = c.chats.create(model=model)
    for _ in range(2):
        equal("text", (await session.send_message(PROMPT)).text, ANSWER)
    equal("text", "".join([piece.text or "" async for piece in await session.send_message_stream(PROMPT)]), ANSWER)
    equal("text", (await session.send_message(PROMPT)).text, ANSWER)


def thinking_request(model):
    return ask(model, TWO_CALLS, max_output_tokens=4000, tools=TOOLS, thinking_config={"include_thoughts": True, "thinking_level": "LOW"})


def thinking(c, model):
    request = thinking_request(model)
    parts = c.models.generate_content(**request).candidates[0].content.parts
    check_thinking(parts)
    results(c.models.generate_content(**second_turn(request, parts)).text)


async def thinking_async(c, model):
    request = thinking_request(model)
    parts = (await c.models.generate_content(**request)).candidates[0].content.parts
    check_thinking(parts)
    results((await c.models.generate_content(**second_turn(request, parts))).text)


def thinking_streamed(c, model):
    request = thinking_request(model)
    parts = collect(c, request).parts
    check_thinking(parts)
    results(collect(c, second_turn(request, parts)).text)


async def thinking_streamed_async(c, model):
    request = thinking_request(model)
    parts = (await collect_async(c, request)).parts
    check_thinking(parts)
    results((await collect_async(c, second_turn(request, parts))).text)


def count(c, model):
    true("tokens", c.models.count_tokens(model=model, contents=PROMPT).total_tokens > 0)


async def count_async(c, model):
    true("tokens", (await c.models.count_tokens(model=model, contents=PROMPT)).total_tokens > 0)


def models(c, model):
    true(model, any(m.name == "models/" + model for m in c.models.list()))
    equal("name", c.models.get(model=model).name, "models/" + model)


async def models_async(c, model):
    true(model, any([m.name == "models/" + model async for m in await c.models.list()]))


def check_refused(error, status, word):
    equal("error", (error.code, error.status), (status, word))


WRONG = [{"role": "assistant", "parts": [{"text": PROMPT}]}]


def unknown_model(c, _):
    check_refused(refused(errors.ClientError, lambda: c.models.generate_content(**ask("no-such-model"))), 404, "NOT_FOUND")


async def unknown_model_async(c, _):
    check_refused(await refused_async(errors.ClientError, lambda: c.models.generate_content(**ask("no-such-model"))), 404, "NOT_FOUND")


def bad_request(c, model):
    check_refused(refused(errors.ClientError, lambda: c.models.generate_content(**ask(model, WRONG))), 400, "INVALID_ARGUMENT")


async def bad_request_async(c, model):
    check_refused(await refused_async(errors.ClientError, lambda: c.models.generate_content(**ask(model, WRONG))), 400, "INVALID_ARGUMENT")


def bad_request_streamed(c, model):
    check_refused(refused(errors.ClientError, lambda: collect(c, ask(model, WRONG))), 400, "INVALID_ARGUMENT")


async def bad_request_streamed_async(c, model):
    check_refused(await refused_async(errors.ClientError, lambda: collect_async(c, ask(model, WRONG))), 400, "INVALID_ARGUMENT")


SYNC = {name: simple(*case) for name, case in SIMPLE.items()} | {
    "stream": stream, "tools": tools, "tools streamed": tools_streamed, "function": function, "chat": chat, "thinking": thinking,
    "thinking streamed": thinking_streamed, "count tokens": count, "models": models, "unknown model": unknown_model,
    "bad request": bad_request, "bad request streamed": bad_request_streamed,
}
ASYNC = {name: simple_async(*case) for name, case in SIMPLE.items()} | {
    "stream": stream_async, "tools": tools_async, "tools streamed": tools_streamed_async, "chat": chat_async, "thinking": thinking_async,
    "thinking streamed": thinking_streamed_async, "count tokens": count_async, "models": models_async, "unknown model": unknown_model_async,
    "bad request": bad_request_async, "bad request streamed": bad_request_streamed_async,
}
