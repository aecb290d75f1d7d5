"""What the cases ask and want, in every framework."""

import asyncio
import threading

from pydantic import BaseModel, Field

PROMPT = "tell me more"
ANSWER = "echo: tell me more"
TWO_CALLS = 'Compare get_weather({"city":"Paris"}) with get_weather({"city":"Rome"}) please'
CITIES = ["Paris", "Rome"]
# A class that offers a tool for the structure without demanding it (LlamaIndex's Anthropic, for models that it does not know) needs a
# model that takes the offer.
WHO = 'Who is Person({"name":"Ada","age":36})?'
SYSTEM = "You are terse."


class Person(BaseModel):
    """A person."""

    name: str = Field(description="The first name")
    age: int


def equal(what, got, want):
    if got != want:
        raise AssertionError(f"{what}: {got!r}, want {want!r}")


def results(text):
    for city in CITIES:
        if f"=sunny in {city}" not in text:
            raise AssertionError(f"no result of {city} in {text!r}")


def person(value):
    if not isinstance(value, Person):
        raise AssertionError(f"no person: {value!r}")


LOOP = asyncio.new_event_loop()
threading.Thread(target=LOOP.run_forever, daemon=True).start()


def wait(coroutine):
    """Runs it in this process's one event loop: LangChain keeps its async HTTP clients, and so their connections, for the life of the
    process, and a connection cannot be used in another loop than its own."""
    return asyncio.run_coroutine_threadsafe(coroutine, LOOP).result(60)
