// Drives Vercel's AI SDK, as applications use it.
//
// usage: run.mjs '{"CLIENT": {"url": "BASE_URL", "key": "KEY", "models": ["MODEL"]}}'
//
// Clients are named below. Prints a JSON object {"client/case/model": "ok" or what went wrong} and exits with 1 when anything
// did. The answers that the cases want are those of this repository's fake providers, which answer by rule.

import { createAnthropic } from '@ai-sdk/anthropic';
import { createGoogleGenerativeAI } from '@ai-sdk/google';
import { createOpenAI } from '@ai-sdk/openai';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, Output, stepCountIs, streamText, tool } from 'ai';
import assert from 'node:assert/strict';
import { z } from 'zod';

globalThis.AI_SDK_LOG_WARNINGS = false; // stdout is the report's

const prompt = 'tell me more';
const answer = 'echo: tell me more';
const twoCalls = 'Compare get_weather({"city":"Paris"}) with get_weather({"city":"Rome"}) please';
const cities = ['Paris', 'Rome'];

const clients = {
  'vercel-openai': ({ url, key }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).chat,
  'vercel-compatible': ({ url, key }) => createOpenAICompatible({
    name: 'dragoman', baseURL: `${url}/v1`, apiKey: key, includeUsage: true, supportsStructuredOutputs: true, // off unless told
  }),
  'vercel-responses': ({ url, key }) => createOpenAI({ baseURL: `${url}/v1`, apiKey: key }).responses,
  'vercel-anthropic': ({ url, key }) => createAnthropic({ baseURL: `${url}/v1`, apiKey: key }),
  'vercel-google': ({ url, key }) => createGoogleGenerativeAI({ baseURL: `${url}/v1beta`, apiKey: key }),
};

function ask(model, text, more = {}) {
  return { model, system: 'You are terse.', prompt: text, maxOutputTokens: 500, maxRetries: 0, abortSignal: AbortSignal.timeout(20000), ...more };
}

// withTools has the SDK run the tool and ask again, as agents do.
function withTools(model) {
  const get_weather = tool({
    description: 'The weather in a city',
    inputSchema: z.object({ city: z.string().describe('Name of a city') }),
    execute: async ({ city }) => `sunny in ${city}`,
  });
  return ask(model, twoCalls, { tools: { get_weather }, stopWhen: stepCountIs(3) });
}

function checkSteps(steps, text) {
  assert.equal(steps.length, 2, 'steps');
  assert.deepEqual(steps[0].toolCalls.map(c => c.input.city), cities);
  for (const city of cities) assert.ok(text.includes(`=sunny in ${city}`), `no result of ${city} in ${text}`);
}

function checkUsage(usage) {
  assert.ok(usage.inputTokens > 0 && usage.outputTokens > 0, `usage ${JSON.stringify(usage)}`);
}

// begin starts a stream; its errors come with what it yields, and not on stderr.
function begin(options) {
  return streamText({ ...options, onError: () => {} });
}

async function drain(stream) {
  let text = '';
  for await (const part of stream.fullStream) {
    if (part.type === 'error') throw part.error;
    if (part.type === 'text-delta') text += part.text;
  }
  return text;
}

const person = z.object({ name: z.string(), age: z.number().int() });

const cases = {
  chat: async model => {
    const got = await generateText(ask(model, prompt));
    assert.equal(got.text, answer);
    assert.equal(got.finishReason, 'stop');
    checkUsage(got.usage);
  },
  stream: async model => {
    const stream = begin(ask(model, prompt));
    assert.equal(await drain(stream), answer);
    assert.equal(await stream.finishReason, 'stop');
    checkUsage(await stream.usage);
  },
  tools: async model => {
    const got = await generateText(withTools(model));
    checkSteps(got.steps, got.text);
  },
  'tools streamed': async model => {
    const stream = begin(withTools(model));
    await drain(stream);
    checkSteps(await stream.steps, await stream.text);
  },
  'structured output': async model => {
    const got = await generateText(ask(model, prompt, { output: Output.object({ schema: person }) }));
    assert.deepEqual(Object.keys(got.output).sort(), ['age', 'name']);
  },
  'structured output streamed': async model => {
    const stream = begin(ask(model, prompt, { output: Output.object({ schema: person }) }));
    await drain(stream);
    assert.deepEqual(Object.keys(await stream.output).sort(), ['age', 'name']);
  },
};

function describe(error) {
  const body = error.responseBody ?? error.cause?.message ?? '';
  return `${error.name}: ${error.message} ${body}`.replace(/\s+/g, ' ').slice(0, 1500);
}

async function run(name, make, model, report) {
  for (const [what, test] of Object.entries(cases)) {
    try {
      await test(make(model));
      report[`${name}/${what}/${model}`] = 'ok';
    } catch (error) { // a case that fails must not hide the others
      report[`${name}/${what}/${model}`] = describe(error);
    }
  }
}

assert.equal(process.argv.length, 3, "usage: run.mjs '{CLIENT: {url, key, models}}'");
const report = {};
await Promise.all(Object.entries(JSON.parse(process.argv[2])).flatMap(([name, to]) => to.models.map(m => run(name, clients[name](to), m, report))));
console.log(JSON.stringify(report, null, 1));
process.exitCode = Object.values(report).every(r => r === 'ok') ? 0 : 1;
