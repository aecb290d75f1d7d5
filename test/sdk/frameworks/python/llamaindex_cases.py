"""What applications do with LlamaIndex's language models."""

import asyncio

from llama_index.core.llms import ChatMessage, LLMMetadata
from llama_index.core.tools import FunctionTool
from llama_index.llms.anthropic import Anthropic
from llama_index.llms.openai import OpenAI

from asked import ANSWER, CITIES, PROMPT, SYSTEM, TWO_CALLS, Person, equal, person, results

# Both classes know their vendor's models alone and refuse other names: an application that asks for others says what they are.
FACTS = {"context_window": 100000, "is_chat_model": True, "is_function_calling_model": True}


class OpenAIModel(OpenAI):
    """A model of any name behind OpenAI's API."""

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model, **FACTS)


class AnthropicModel(Anthropic):
    """A model of any name behind Anthropic's API."""

    @property
    def metadata(self):
        return LLMMetadata(model_name=self.model, num_output=self.max_tokens, **FACTS)


CLIENTS = {
    "llamaindex-openai": lambda url, key, model: OpenAIModel(api_base=url + "/v1", api_key=key, model=model, max_retries=0, timeout=20),
    "llamaindex-anthropic": lambda url, key, model: AnthropicModel(base_url=url, api_key=key, model=model, max_retries=0, timeout=20,
                                                                   max_tokens=500),
}


def weather(city: str) -> str:
    return "sunny in " + city


WEATHER = FunctionTool.from_defaults(weather, name="get_weather", description="The weather in a city")


def conversation(text):
    return [ChatMessage(role="system", content=SYSTEM), ChatMessage(role="user", content=text)]


def chat(llm):
    equal("text", llm.chat(conversation(PROMPT)).message.content, ANSWER)


def chat_async(llm):
    equal("text", asyncio.run(llm.achat(conversation(PROMPT))).message.content, ANSWER)


def stream(llm):
    pieces = list(llm.stream_chat(conversation(PROMPT)))
    equal("deltas", "".join(p.delta or "" for p in pieces), ANSWER)
    equal("text", pieces[-1].message.content, ANSWER)


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
    person(llm.as_structured_llm(Person).chat(conversation(PROMPT)).raw)


CASES = {"chat": chat, "chat async": chat_async, "stream": stream, "tools": tools, "tools streamed": tools_streamed,
         "structured output": structured}
