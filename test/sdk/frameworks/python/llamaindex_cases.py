"""What applications do with LlamaIndex's language models."""

from llama_index.core.llms import ChatMessage, LLMMetadata
from llama_index.core.tools import FunctionTool
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai_like import OpenAILike, OpenAILikeResponses

from asked import ANSWER, CITIES, PROMPT, SYSTEM, TWO_CALLS, WHO, Person, equal, person, results, wait


class AnthropicModel(Anthropic):
    """A model of any name behind Anthropic's API: the class refuses those that it does not know, and has no sister that asks."""

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model, num_output=self.max_tokens, context_window=100000, is_chat_model=True,
                           is_function_calling_model=True)


CLIENTS = {
    "llamaindex-openai": lambda url, key, model: OpenAILike(
        api_base=url + "/v1", api_key=key, model=model, max_retries=0, timeout=20, is_chat_model=True, is_function_calling_model=True),
    "llamaindex-responses": lambda url, key, model: OpenAILikeResponses(
        api_base=url + "/v1", api_key=key, model=model, max_retries=0, timeout=20, is_function_calling_model=True),
    "llamaindex-anthropic": lambda url, key, model: AnthropicModel(
        base_url=url, api_key=key, model=model, max_retries=0, timeout=20, max_tokens=500),
}


def weather(city: str) -> str:
    return "sunny in " + city


WEATHER = FunctionTool.from_defaults(weather, name="get_weather", description="The weather in a city")


def conversation(text):
    return [ChatMessage(role="system", content=SYSTEM), ChatMessage(role="user", content=text)]


def chat(llm):
    equal("text", llm.chat(conversation(PROMPT)).message.content, ANSWER)


def chat_async(llm):
    equal("text", wait(llm.achat(conversation(PROMPT))).message.content, ANSWER)


def check(pieces):
    equal("deltas", "".join(p.delta or "" for p in pieces), ANSWER)
    equal("text", pieces[-1].message.content, ANSWER)


def stream(llm):
    check(list(llm.stream_chat(conversation(PROMPT))))


def stream_async(llm):
    async def pieces():
        return [piece async for piece in await llm.astream_chat(conversation(PROMPT))]

    check(wait(pieces()))


def both_turns(llm, ask):
    messages = conversation(TWO_CALLS)
    said = ask(messages)
    calls = llm.get_tool_calls_from_response(said)
    equal("cities", [c.tool_kwargs["city"] for c in calls], CITIES)
    messages.append(said.message)
    messages += [ChatMessage(role="tool", content=weather(**c.tool_kwargs), additional_kwargs={"tool_call_id": c.tool_id}) for c in calls]
    results(ask(messages).message.content)


def tools(llm):
    both_turns(llm, lambda messages: llm.chat_with_tools([WEATHER], chat_history=messages, allow_parallel_tool_calls=True))


def tools_streamed(llm):
    both_turns(llm, lambda messages: list(llm.stream_chat_with_tools([WEATHER], chat_history=messages, allow_parallel_tool_calls=True))[-1])


def structured(llm):
    person(llm.as_structured_llm(Person).chat(conversation(WHO)).raw)


CASES = {"chat": chat, "chat async": chat_async, "stream": stream, "stream async": stream_async, "tools": tools,
         "tools streamed": tools_streamed, "structured output": structured}
