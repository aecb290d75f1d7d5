"""What the cases ask and want, in every framework."""

from pydantic import BaseModel, Field

PROMPT = "tell me more"
ANSWER = "echo: tell me more"
TWO_CALLS = 'Compare get_weather({"city":"Paris"}) with get_weather({"city":"Rome"}) please'
CITIES = ["Paris", "Rome"]
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
