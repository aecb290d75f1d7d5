"""What applications do with LangChain's chat models."""

from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI

from asked import ANSWER, CITIES, PROMPT, SYSTEM, TWO_CALLS, WHO, Person, equal, person, results, wait

# LangChain asks OpenAI alone for the usage of a stream: who gives it another base URL says that it is wanted there too.
CLIENTS = {
    "langchain-openai": lambda url, key, model: ChatOpenAI(
        base_url=url + "/v1", api_key=key, model=model, max_retries=0, timeout=20, stream_usage=True),
    "langchain-responses": lambda url, key, model: ChatOpenAI(
        base_url=url + "/v1", api_key=key, model=model, max_retries=0, timeout=20, use_responses_api=True),
    "langchain-anthropic": lambda url, key, model: ChatAnthropic(
        base_url=url, api_key=key, model=model, max_retries=0, timeout=20, max_tokens=500),
    "langchain-google": lambda url, key, model: ChatGoogleGenerativeAI(
        base_url=url, google_api_key=key, model=model, max_retries=1, timeout=20),
}


@tool
def get_weather(city: str) -> str:
    """The weather in a city."""
    return "sunny in " + city


def conversation(text):
    return [SystemMessage(SYSTEM), HumanMessage(text)]


def collected(pieces):
    whole = None
    for piece in pieces:
        whole = piece if whole is None else whole + piece
    return whole


def check(got):
    equal("text", got.text, ANSWER)
    usage = got.usage_metadata
    if not usage or usage["input_tokens"] <= 0 or usage["output_tokens"] <= 0:
        raise AssertionError(f"usage {usage!r}")


def chat(llm):
    check(llm.invoke(conversation(PROMPT)))


def chat_async(llm):
    check(wait(llm.ainvoke(conversation(PROMPT))))


def stream(llm):
    check(collected(llm.stream(conversation(PROMPT))))


def stream_async(llm):
    async def pieces():
        return [piece async for piece in llm.astream(conversation(PROMPT))]

    check(collected(wait(pieces())))


def both_turns(llm, ask):
    bound = llm.bind_tools([get_weather])
    messages = conversation(TWO_CALLS)
    said = ask(bound, messages)
    equal("cities", [c["args"]["city"] for c in said.tool_calls], CITIES)
    messages.append(said)
    messages += [ToolMessage(get_weather.invoke(c["args"]), tool_call_id=c["id"]) for c in said.tool_calls]
    results(ask(bound, messages).text)


def tools(llm):
    both_turns(llm, lambda bound, messages: bound.invoke(messages))


def tools_streamed(llm):
    both_turns(llm, lambda bound, messages: collected(bound.stream(messages)))


def structured(llm):
    person(llm.with_structured_output(Person).invoke(WHO))


CASES = {"chat": chat, "chat async": chat_async, "stream": stream, "stream async": stream_async, "tools": tools,
         "tools streamed": tools_streamed, "structured output": structured}
