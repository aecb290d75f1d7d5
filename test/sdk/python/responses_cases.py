"""What applications do with the OpenAI SDK and its Responses API."""

import json

import openai
import pydantic

from expect import (ANSWER, CITIES, PERSON_SCHEMA, PROMPT, TWO_CALLS, WEATHER_SCHEMA, equal, person, refused, refused_async,
                    results, true)
from openai_cases import async_client, client  # the same clients

TOOLS = [{"type": "function", "name": "get_weather", "description": "The weather in a city", "parameters": WEATHER_SCHEMA, "strict": True}]
NATIVE = set()


class Person(pydantic.BaseModel):
    name: str
    age: int


def ask(model, said=PROMPT, **more):
    return {"model": model, "instructions": "You are terse.", "input": said, **more}


def check_plain(got):
    equal("output text", got.output_text, ANSWER)
    equal("status", got.status, "completed")
    equal("instructions", got.instructions, "You are terse.")
    true("usage", got.usage.input_tokens > 0 and got.usage.output_tokens > 0)
    equal("total", got.usage.total_tokens, got.usage.input_tokens + got.usage.output_tokens)
    true("id and model", got.id and got.model)
    got.to_dict(warnings=True)  # what it holds is of the types that the SDK declares


def calls(got):
    found = [item for item in got.output if item.type == "function_call"]
    equal("cities", [json.loads(c.arguments)["city"] for c in found], CITIES)
    true("ids differ", len({c.call_id for c in found}) == 2)
    return found


def outputs(found):
    return [{"type": "function_call_output", "call_id": c.call_id, "output": "sunny in " + json.loads(c.arguments)["city"]} for c in found]


def second_turn(request, got):
    """The whole conversation again, with the results, as an application that keeps it itself sends it."""
    return {**request, "input": [{"role": "user", "content": TWO_CALLS}, *got.output, *outputs(calls(got))]}


def check_events(events):
    equal("sequence numbers", [e.sequence_number for e in events], list(range(len(events))))
    equal("first", events[0].type, "response.created")
    equal("last", events[-1].type, "response.completed")
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    equal("text", text, ANSWER)
    equal("ids", len({e.response.id for e in events if hasattr(e, "response")}), 1)
    check_plain(events[-1].response)


# Requests with what their answers must be, for both clients.
SIMPLE = {
    "plain": (lambda m: ask(m, metadata={"job": "7"}), check_plain),
    "items": (lambda m: ask(m, [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"},
                                {"role": "user", "content": [{"type": "input_text", "text": PROMPT}]}]), check_plain),
    "no tool": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, tool_choice="none"), lambda got: equal("text", got.output_text, "echo: " + TWO_CALLS)),
    "forced tool": (lambda m: ask(m, tools=TOOLS, tool_choice="required"), lambda got: equal("types", {o.type for o in got.output} - {"reasoning"}, {"function_call"})),
    "named tool": (lambda m: ask(m, tools=TOOLS, tool_choice={"type": "function", "name": "get_weather"}),
                   lambda got: equal("types", {o.type for o in got.output} - {"reasoning"}, {"function_call"})),
    "one call at a time": (lambda m: ask(m, TWO_CALLS, tools=TOOLS, parallel_tool_calls=False), lambda got: equal("items", len(got.output), 1)),
    "structured output": (lambda m: ask(m, text={"format": {"type": "json_schema", "name": "person", "strict": True, "schema": PERSON_SCHEMA}}),
                          lambda got: person(got.output_text)),
    "length": (lambda m: ask(m, "word " * 40, max_output_tokens=16), lambda got: equal("reason", got.incomplete_details.reason, "max_output_tokens")),
    "end user": (lambda m: ask(m, safety_identifier="end-user-7"), check_plain),
}


def simple(build, check):
    return lambda c, model: check(c.responses.create(**build(model)))


def simple_async(build, check):
    async def case(c, model):
        check(await c.responses.create(**build(model)))
    return case


def stream(c, model):
    check_events(list(c.responses.create(**ask(model), stream=True)))


async def stream_async(c, model):
    check_events([event async for event in await c.responses.create(**ask(model), stream=True)])


def accumulated(c, model):
    """By the SDK's own accumulator, which refuses events that do not fit."""
    with c.responses.stream(**ask(model)) as events:
        check_plain(events.until_done().get_final_response())


async def accumulated_async(c, model):
    async with c.responses.stream(**ask(model)) as events:
        check_plain(await events.get_final_response())


def tools(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    results(c.responses.create(**second_turn(request, c.responses.create(**request))).output_text)


async def tools_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    results((await c.responses.create(**second_turn(request, await c.responses.create(**request)))).output_text)


def tools_streamed(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    with c.responses.stream(**request) as events:
        got = events.get_final_response()
    found = calls(got)
    with c.responses.stream(**{**request, "input": outputs(found), "previous_response_id": got.id}) as events:
        results(events.get_final_response().output_text)


async def tools_streamed_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    async with c.responses.stream(**request) as events:
        got = await events.get_final_response()
    found = calls(got)
    async with c.responses.stream(**{**request, "input": outputs(found), "previous_response_id": got.id}) as events:
        results((await events.get_final_response()).output_text)


def parsed(c, model):
    got = c.responses.parse(**ask(model), text_format=Person)
    true("parsed", isinstance(got.output_parsed, Person))


async def parsed_async(c, model):
    got = await c.responses.parse(**ask(model), text_format=Person)
    true("parsed", isinstance(got.output_parsed, Person))


def references(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    got = c.responses.create(**request)
    named = [{"type": "item_reference", "id": item.id} for item in got.output]
    results(c.responses.create(**{**request, "input": [{"role": "user", "content": TWO_CALLS}, *named, *outputs(calls(got))]}).output_text)


async def references_async(c, model):
    request = ask(model, TWO_CALLS, tools=TOOLS)
    got = await c.responses.create(**request)
    named = [{"type": "item_reference", "id": item.id} for item in got.output]
    again = await c.responses.create(**{**request, "input": [{"role": "user", "content": TWO_CALLS}, *named, *outputs(calls(got))]})
    results(again.output_text)


def unknown_previous(c, model):
    error = refused(openai.BadRequestError, lambda: c.responses.create(**ask(model, previous_response_id="resp_unknown")))
    equal("code", error.code, "previous_response_not_found")
    equal("param", error.param, "previous_response_id")


async def unknown_previous_async(c, model):
    error = await refused_async(openai.BadRequestError, lambda: c.responses.create(**ask(model, previous_response_id="resp_unknown")))
    equal("code", error.code, "previous_response_not_found")


def bad_request(c, model):
    refused(openai.BadRequestError, lambda: c.responses.create(**ask(model, temperature=7), stream=True))


async def bad_request_async(c, model):
    await refused_async(openai.BadRequestError, lambda: c.responses.create(**ask(model, temperature=7)))


SYNC = {name: simple(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream, "accumulated": accumulated, "tools": tools, "tools streamed": tools_streamed, "parsed": parsed, "references": references,
    "unknown previous response": unknown_previous, "bad request": bad_request,
}
ASYNC = {name: simple_async(*pair) for name, pair in SIMPLE.items()} | {
    "stream": stream_async, "accumulated": accumulated_async, "tools": tools_async, "tools streamed": tools_streamed_async,
    "parsed": parsed_async, "references": references_async, "unknown previous response": unknown_previous_async, "bad request": bad_request_async,
}
