"""What the cases ask and want, for both SDKs."""

import json

TIMEOUT = 20.0
PROMPT = "tell me more"
ANSWER = "echo: tell me more"
TWO_CALLS = 'Compare get_weather({"city":"Paris"}) with get_weather({"city":"Rome"}) please'
CITIES = ["Paris", "Rome"]
WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string", "description": "Name of a city"}},
    "required": ["city"],
    "additionalProperties": False,
}
PERSON_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def equal(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, want {want!r}")


def true(what, value):
    if not value:
        raise AssertionError(f"{what}: {value!r}")


def person(text):
    value = json.loads(text)
    equal("members of the structured output", sorted(value), ["age", "name"])
    true("age is an integer", isinstance(value["age"], int))


def results(text):
    for city in CITIES:
        true(f"result of {city} in {text!r}", f"=sunny in {city}" in text)


def refused(error_type, call):
    """call must raise error_type, which carries the status and a message."""
    try:
        call()
    except error_type as error:
        true("message", error.message)
        return error
    raise AssertionError(f"no {error_type.__name__}")


async def refused_async(error_type, call):
    try:
        await call()
    except error_type as error:
        true("message", error.message)
        return error
    raise AssertionError(f"no {error_type.__name__}")
