"""What applications do with OpenAI's SDK beside chat and embeddings: requests that pass to a provider of the same schema as they are.
The argument of each case is the provider's name."""

import hashlib
import io

import openai

import openai_cases
from expect import equal, refused, refused_async, true

NATIVE = set()
client, async_client = openai_cases.client, openai_cases.async_client

SOUND = bytes((i * i >> 3 ^ i) & 255 for i in range(1 << 16)) * 40
HEARD = f"{len(SOUND)} bytes {hashlib.sha256(SOUND).hexdigest()}"
LINES = b'{"custom_id":"1"}\n'


def lines():
    return "requests.jsonl", io.BytesIO(LINES), "application/jsonl"


def sound():
    return "a.mp3", io.BytesIO(SOUND), "audio/mpeg"


def completion(c, p):
    got = c.completions.create(model=p + "/gpt-3.5-turbo-instruct", prompt="good day")
    equal("text", got.choices[0].text, "echo: good day")
    true("usage", got.usage.total_tokens > 0)


async def completion_async(c, p):
    got = await c.completions.create(model=p + "/gpt-3.5-turbo-instruct", prompt="good day")
    equal("text", got.choices[0].text, "echo: good day")
    true("usage", got.usage.total_tokens > 0)


def completion_stream(c, p):
    text = ""
    for chunk in c.completions.create(model=p + "/gpt-3.5-turbo-instruct", prompt="good day", stream=True):
        text += chunk.choices[0].text
    equal("text", text, "echo: good day")


async def completion_stream_async(c, p):
    text = ""
    async for chunk in await c.completions.create(model=p + "/gpt-3.5-turbo-instruct", prompt="good day", stream=True):
        text += chunk.choices[0].text
    equal("text", text, "echo: good day")


def moderation(c, p):
    true("flagged", c.moderations.create(input="violence").results[0].flagged)


async def moderation_async(c, p):
    true("flagged", (await c.moderations.create(input="violence")).results[0].flagged)


def image(c, p):
    true("image", c.images.generate(model=p + "/gpt-image-1", prompt="a bridge").data[0].b64_json)


async def image_async(c, p):
    true("image", (await c.images.generate(model=p + "/gpt-image-1", prompt="a bridge")).data[0].b64_json)


def speech(c, p):
    size = 0
    with c.audio.speech.with_streaming_response.create(model=p + "/tts-1", input="good morning", voice="alloy") as got:
        for piece in got.iter_bytes():
            size += len(piece)
    true("whole", size >= 300 << 10 and size % 32 == 0)


async def speech_async(c, p):
    got = await c.audio.speech.create(model=p + "/tts-1", input="good morning", voice="alloy")
    true("whole", len(got.content) >= 300 << 10 and len(got.content) % 32 == 0)


def transcription(c, p):
    equal("text", c.audio.transcriptions.create(model=p + "/gpt-4o-transcribe", file=sound()).text, HEARD)


async def transcription_async(c, p):
    equal("text", (await c.audio.transcriptions.create(model=p + "/gpt-4o-transcribe", file=sound())).text, HEARD)


def file(c, p):
    made = c.files.create(file=lines(), purpose="batch")
    equal("name", made.filename, "requests.jsonl")
    equal("retrieved", c.files.retrieve(made.id).id, made.id)
    equal("content", c.files.content(made.id).read(), LINES)
    equal("listed", sum(f.id == made.id for f in c.files.list(limit=1)), 1)
    true("deleted", c.files.delete(made.id).deleted)
    refused(openai.NotFoundError, lambda: c.files.retrieve(made.id))


async def file_async(c, p):
    made = await c.files.create(file=lines(), purpose="batch")
    equal("retrieved", (await c.files.retrieve(made.id)).id, made.id)
    equal("content", (await c.files.content(made.id)).content, LINES)
    equal("listed", [f.id async for f in c.files.list(limit=1)].count(made.id), 1)
    true("deleted", (await c.files.delete(made.id)).deleted)
    await refused_async(openai.NotFoundError, lambda: c.files.retrieve(made.id))


def batch(c, p):
    made = c.files.create(file=lines(), purpose="batch")
    b = c.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"job": "7"})
    equal("metadata", b.metadata, {"job": "7"})
    equal("listed", sum(x.id == b.id for x in c.batches.list(limit=1)), 1)
    done = c.batches.retrieve(b.id)
    equal("status", done.status, "completed")
    equal("result", c.files.content(done.output_file_id).read(), LINES)


async def batch_async(c, p):
    made = await c.files.create(file=lines(), purpose="batch")
    b = await c.batches.create(input_file_id=made.id, endpoint="/v1/chat/completions", completion_window="24h")
    equal("listed", [x.id async for x in c.batches.list(limit=1)].count(b.id), 1)
    equal("status", (await c.batches.cancel(b.id)).status, "cancelling")


SYNC = {"completion": completion, "completion stream": completion_stream, "moderation": moderation, "image": image, "speech": speech,
        "transcription": transcription, "file": file, "batch": batch}
ASYNC = {"completion": completion_async, "completion stream": completion_stream_async, "moderation": moderation_async, "image": image_async,
         "speech": speech_async, "transcription": transcription_async, "file": file_async, "batch": batch_async}
