"""What applications do with the OpenAI SDK."""

import json

import openai

from expect import (ANSWER, CITIES, PERSON_SCHEMA, PROMPT, TIMEOUT, TWO_CALLS, WEATHER_SCHEMA, equal, person, refused,
                    refused_async, results, true)

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather in a city", "parameters": WEATHER_SCHEMA}}]
STRICT_TOOLS = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]
ORPHAN = {"role": "tool", "tool_call_id": "call_unknown", "content": "sunny"}
NATIVE = set()


def client(base_url, key):
    return openai.OpenAI(base_url=base_url + "/v1", api_key=key, max_retries=0, timeout=TIMEOUT)


def async_client(base_url, key):
    return openai.AsyncOpenAI(base_url=base_url + "/v1", api_key=key, max_retries=0, timeout=TIMEOUT)


def ask(model, text=PROMPT, **more):
    return {"model": model, "messages": [{"role": "system", "content": "You are terse."}, {"role": "user", "content": text}], **more}


def check_plain(got):
    equal("content", got.choices[0].message.content, ANSWER)
    equal("finish reason", got.choices[0].finish_reason, "stop")
    true("usage", got.usage.prompt_tokens > 0 and got.usage.completion_tokens > 0)
    equal("total", got.usage.total_tokens, got.usage.prompt_tokens + got.usage.completion_tokens)
    true("id and model", got.id and got.model)


def check_chunks(chunks, usage_wanted):
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    equal("content", text, ANSWER)
    finishes = [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason]
    equal("finish reasons", finishes, ["stop"])
    equal("role of the first chunk", chunks[0].choices[0].delta.role, "assistant")
    with_usage = [c for c in chunks if c.usage]
    equal("usage chunks", len(with_usage), 1 if usage_wanted else 0)
    if usage_wanted:
        equal("choices of the usage chunk", with_usage[0].choices, [])
        true("usage", with_usage[0].usage.completion_tokens > 0)
    equal("ids", len({c.id for c in chunks}), 1)


def check_calls(message, finish_reason):
    equal("finish reason", finish_reason, "tool_calls")
    equal("cities", [json.loads(c.function.arguments)["city"] for c in message.tool_calls], CITIES)
    true("ids differ", len({c.id for c in message.tool_calls}) == 2)


def second_turn(request, message):
    """The request that answers the calls of message."""
    turn = {"role": "assistant", "content": message.content, "tool_calls": [
        {"id": c.id, "type": "function", "function": {"name": c.function.name, "arguments": c.function.arguments}} for c in message.tool_calls]}
    answers = [{"role": "tool", "tool_call_id": c.id, "content": "sunny in " + json.loads(c.function.arguments)["city"]} for c in message.tool_calls]
    return {**request, "messages": request["messages"] + [turn] + answers}


# Requests with what their answers must be, for both clients.
SIMPLE = {
    "plain": (lambda m: ask(m), check_plain),
    "no tool": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, tool_choice="none"),
                lambda got: equal("content", got.choices[0].message.content, "echo: " + TWO_CALLS)),
    "forced tool": (lambda m: ask(m, tools=TOOLS, tool_choice="required"), lambda got: equal("calls", len(got.choices[0].message.tool_calls), 1)),
    "named tool": (lambda m: ask(m, tools=TOOLS, tool_choice={"type": "function", "function": {"name": "get_weather"}}),
                   lambda got: equal("calls", len(got.choices[0].message.tool_calls), 1)),
    "one call at a time": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, parallel_tool_calls=False),
                           lambda got: equal("calls", len(got.choices[0].message.tool_calls), 1)),
    "structured output": (lambda m: ask(m, response_format={"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON_SCHEMA}}),
                          lambda got: person(got.choices[0].message.content)),
    "length": (lambda m: ask(m, max_completion_tokens=2), lambda got: equal("finish", got.choices[0].finish_reason, "length")),
    "stop": (lambda m: ask(m, stop=[" me"]), lambda got: equal("content", got.choices[0].message.content, "echo: tell")),
    "sampling": (lambda m: ask(m, temperature=0.3, user="end-user-7"), check_plain),
}


def simple(build, check):
    return lambda c, model: check(c.chat.completions.create(**build(model)))


def simple_async(build, check):
    async def case(c, model):
        check(await c.chat.completions.create(**build(model)))
    return case


def stream(c, model):
    check_chunks(list(c.chat.completions.create(**ask(model), stream=True)), False)


async def stream_async(c, model):
    check_chunks([chunk async for chunk in await c.chat.completions.create(**ask(model), stream=True)], False)


def stream_usage(c, model):
    check_chunks(list(c.chat.completions.create(**ask(model), stream=True, stream_options={"include_usage": True})), True)


async def stream_usage_async(c, model):
    got = await c.chat.completions.create(**ask(model), stream=True, stream_options={"include_usage": True})
    check_chunks([chunk async for chunk in got], True)


def tools(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    choice = c.chat.completions.create(**request).choices[0]
    check_calls(choice.message, choice.finish_reason)
    results(c.chat.completions.create(**second_turn(request, choice.message)).choices[0].message.content)


async def tools_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    choice = (await c.chat.completions.create(**request)).choices[0]
    check_calls(choice.message, choice.finish_reason)
    results((await c.chat.completions.create(**second_turn(request, choice.message))).choices[0].message.content)


def tools_streamed(c, model):
    """By the SDK's own accumulator of streams; it takes strict tools only."""
    request = ask(model, TWO_CALLS, tools=STRICT_TOOLS)
    with c.chat.completions.stream(**request) as events:
        choice = events.get_final_completion().choices[0]
    check_calls(choice.message, choice.finish_reason)
    with c.chat.completions.stream(**second_turn(request, choice.message)) as events:
        results(events.get_final_completion().choices[0].message.content)


async def tools_streamed_async(c, model):
    request = ask(model, TWO_CALLS, tools=STRICT_TOOLS)
    async with c.chat.completions.stream(**request) as events:
        choice = (await events.get_final_completion()).choices[0]
    check_calls(choice.message, choice.finish_reason)


def models(c, model):
    true(f"{model} among the models", any(m.id == model for m in c.models.list()))


async def models_async(c, model):
    true(f"{model} among the models", any([m.id == model async for m in c.models.list()]))


def unknown_model(c, model):
    error = refused(openai.NotFoundError, lambda: c.chat.completions.create(**ask("no-such-model")))
    equal("code", error.code, "model_not_found")


async def unknown_model_async(c, model):
    error = await refused_async(openai.NotFoundError, lambda: c.chat.completions.create(**ask("no-such-model")))
    equal("code", error.code, "model_not_found")


def bad_request(c, model, **more):
    request = ask(model, **more)
    request["messages"].append(ORPHAN)
    refused(openai.BadRequestError, lambda: c.chat.completions.create(**request))


def bad_request_streamed(c, model):
    bad_request(c, model, stream=True)


async def bad_request_async(c, model):
    request = ask(model, stream=True)
    request["messages"].append(ORPHAN)
    await refused_async(openai.BadRequestError, lambda: c.chat.completions.create(**request))


SYNC = {name: simple(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream, "stream with usage": stream_usage, "tools": tools, "tools streamed": tools_streamed, "models": models,
    "unknown model": unknown_model, "bad request": bad_request, "bad request streamed": bad_request_streamed,
}
ASYNC = {name: simple_async(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream_async, "stream with usage": stream_usage_async, "tools": tools_async, "tools streamed": tools_streamed_async,
    "models": models_async, "unknown model": unknown_model_async, "bad request": bad_request_async,
}
