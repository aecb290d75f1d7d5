"""What applications do with the Anthropic SDK. Its version 2 speaks API version 2026-10-21, without sampling parameters."""

import anthropic

from expect import (ANSWER, CITIES, PERSON_SCHEMA, PROMPT, TIMEOUT, TWO_CALLS, WEATHER_SCHEMA, equal, person, refused,
                    refused_async, results, true)

TOOLS = [{"name": "get_weather", "description": "The weather in a city", "input_schema": WEATHER_SCHEMA}]
ORPHAN = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_unknown", "content": "sunny"}]}
NATIVE = {"stop sequence named", "thinking", "thinking streamed"}
MARK = {"type": "ephemeral"}


def client(base_url, key):
    return anthropic.Anthropic(base_url=base_url, api_key=key, max_retries=0, timeout=TIMEOUT)


def async_client(base_url, key):
    return anthropic.AsyncAnthropic(base_url=base_url, api_key=key, max_retries=0, timeout=TIMEOUT)


def ask(model, text=PROMPT, **more):
    return {"model": model, "max_tokens": 500, "system": "You are terse.", "messages": [{"role": "user", "content": text}], **more}


def text_of(message):
    return "".join(b.text for b in message.content if b.type == "text")


def uses(message):
    return [b for b in message.content if b.type == "tool_use"]


def check_plain(got):
    equal("text", text_of(got), ANSWER)
    equal("stop reason", got.stop_reason, "end_turn")
    true("usage", got.usage.input_tokens > 0 and got.usage.output_tokens > 0)
    true("id and model", got.id and got.model)


def check_calls(message):
    equal("stop reason", message.stop_reason, "tool_use")
    equal("cities", [u.input["city"] for u in uses(message)], CITIES)
    true("ids differ", len({u.id for u in uses(message)}) == 2)


def check_thinking(message):
    first = message.content[0]
    true("signed thinking first", first.type == "thinking" and first.thinking and first.signature)
    check_calls(message)


def second_turn(request, message):
    """The request that answers the calls of message."""
    answers = [{"type": "tool_result", "tool_use_id": u.id, "content": "sunny in " + u.input["city"]} for u in uses(message)]
    return {**request, "messages": request["messages"] + [{"role": "assistant", "content": message.content}, {"role": "user", "content": answers}]}


def thinking_request(model):
    return ask(model, TWO_CALLS, max_tokens=4000, tools=TOOLS, thinking={"type": "enabled", "budget_tokens": 1024})


def check_stop_named(got):
    equal("stop", (got.stop_reason, got.stop_sequence), ("stop_sequence", " me"))


# Requests with what their answers must be, for both clients.
SIMPLE = {
    "plain": (lambda m: ask(m), check_plain),
    "no tool": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, tool_choice={"type": "none"}), lambda got: equal("text", text_of(got), "echo: " + TWO_CALLS)),
    "forced tool": (lambda m: ask(m, tools=TOOLS, tool_choice={"type": "any"}), lambda got: equal("calls", len(uses(got)), 1)),
    "named tool": (lambda m: ask(m, tools=TOOLS, tool_choice={"type": "tool", "name": "get_weather"}), lambda got: equal("calls", len(uses(got)), 1)),
    "one call at a time": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
                           lambda got: equal("calls", len(uses(got)), 1)),
    "structured output": (lambda m: ask(m, output_config={"format": {"type": "json_schema", "schema": PERSON_SCHEMA}}), lambda got: person(text_of(got))),
    "length": (lambda m: ask(m, max_tokens=2), lambda got: equal("stop", (text_of(got), got.stop_reason), ("echo: tell", "max_tokens"))),
    "stop": (lambda m: ask(m, stop_sequences=[" me"]), lambda got: equal("text", text_of(got), "echo: tell")),
    "stop sequence named": (lambda m: ask(m, stop_sequences=[" me"]), check_stop_named),
    "end user": (lambda m: ask(m, metadata={"user_id": "end-user-7"}), check_plain),
    "cache marks": (lambda m: ask(m, system=[{"type": "text", "text": "You are terse.", "cache_control": MARK}],
                                  tools=[{**TOOLS[0], "cache_control": MARK}]), check_plain),
}


def simple(build, check):
    return lambda c, model: check(c.messages.create(**build(model)))


def simple_async(build, check):
    async def case(c, model):
        check(await c.messages.create(**build(model)))
    return case


def stream(c, model):
    with c.messages.stream(**ask(model)) as events:
        equal("text", "".join(events.text_stream), ANSWER)
        check_plain(events.get_final_message())


async def stream_async(c, model):
    async with c.messages.stream(**ask(model)) as events:
        equal("text", "".join([text async for text in events.text_stream]), ANSWER)
        check_plain(await events.get_final_message())


def raw_stream(c, model):
    kinds = [event.type for event in c.messages.create(**ask(model), stream=True) if event.type != "ping"]
    equal("first and last", (kinds[0], kinds[-2], kinds[-1]), ("message_start", "message_delta", "message_stop"))
    for kind in ("message_start", "message_delta", "message_stop"):
        equal(kind, kinds.count(kind), 1)
    equal("blocks", kinds.count("content_block_start"), kinds.count("content_block_stop"))


def tools(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    message = c.messages.create(**request)
    check_calls(message)
    results(text_of(c.messages.create(**second_turn(request, message))))


async def tools_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    message = await c.messages.create(**request)
    check_calls(message)
    results(text_of(await c.messages.create(**second_turn(request, message))))


def final(c, request):
    with c.messages.stream(**request) as events:
        return events.get_final_message()


async def final_async(c, request):
    async with c.messages.stream(**request) as events:
        return await events.get_final_message()


def tools_streamed(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    message = final(c, request)
    check_calls(message)
    results(text_of(final(c, second_turn(request, message))))


async def tools_streamed_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    message = await final_async(c, request)
    check_calls(message)
    results(text_of(await final_async(c, second_turn(request, message))))


def thinking(c, model):
    request = thinking_request(model)
    message = c.messages.create(**request)
    check_thinking(message)
    results(text_of(c.messages.create(**second_turn(request, message))))


async def thinking_async(c, model):
    request = thinking_request(model)
    message = await c.messages.create(**request)
    check_thinking(message)
    results(text_of(await c.messages.create(**second_turn(request, message))))


def thinking_streamed(c, model):
    request = thinking_request(model)
    message = final(c, request)
    check_thinking(message)
    results(text_of(final(c, second_turn(request, message))))


async def thinking_streamed_async(c, model):
    request = thinking_request(model)
    message = await final_async(c, request)
    check_thinking(message)
    results(text_of(await final_async(c, second_turn(request, message))))


def models(c, model):
    true(f"{model} among the models", any(m.id == model for m in c.models.list()))


async def models_async(c, model):
    true(f"{model} among the models", any([m.id == model async for m in c.models.list()]))


def unknown_model(c, model):
    error = refused(anthropic.NotFoundError, lambda: c.messages.create(**ask("no-such-model")))
    equal("type", error.body["error"]["type"], "not_found_error")


async def unknown_model_async(c, model):
    error = await refused_async(anthropic.NotFoundError, lambda: c.messages.create(**ask("no-such-model")))
    equal("type", error.body["error"]["type"], "not_found_error")


def orphan(model, **more):
    request = ask(model, tools=TOOLS, **more)
    request["messages"] = [ORPHAN]
    return request


def bad_request(c, model):
    refused(anthropic.BadRequestError, lambda: c.messages.create(**orphan(model)))


def bad_request_streamed(c, model):
    refused(anthropic.BadRequestError, lambda: c.messages.create(**orphan(model, stream=True)))


async def bad_request_async(c, model):
    await refused_async(anthropic.BadRequestError, lambda: c.messages.create(**orphan(model, stream=True)))


SYNC = {name: simple(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream, "raw stream": raw_stream, "tools": tools, "tools streamed": tools_streamed, "thinking": thinking,
    "thinking streamed": thinking_streamed, "models": models, "unknown model": unknown_model, "bad request": bad_request,
    "bad request streamed": bad_request_streamed,
}
ASYNC = {name: simple_async(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream_async, "tools": tools_async, "tools streamed": tools_streamed_async, "thinking": thinking_async,
    "thinking streamed": thinking_streamed_async, "models": models_async, "unknown model": unknown_model_async, "bad request": bad_request_async,
}
