// The Vercel AI SDK pointed at Glottis: prints as JSON what it got, once for each of its two OpenAI-style providers.
// Usage: node client.mjs BASE_URL KEY MODEL
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const [baseURL, apiKey, name] = process.argv.slice(2);
const models = {
  openai: createOpenAI({ baseURL, apiKey }).chat(name),
  compatible: createOpenAICompatible({
    name: "glottis",
    baseURL,
    apiKey,
    includeUsage: true,
    supportsStructuredOutputs: true,
  }).chatModel(name),
};

const magic = tool({
  description: "Apply magic to a number.",
  inputSchema: z.object({ number: z.number().int() }),
  execute: async ({ number }) => number + 2,
});

async function run(model) {
  const once = { model, maxRetries: 0 };
  const text = await generateText({ ...once, prompt: "Hello" });
  const stream = streamText({ ...once, prompt: "Hello" });
  const pieces = [];
  for await (const piece of stream.textStream) pieces.push(piece);
  const agent = { ...once, tools: { magic }, stopWhen: stepCountIs(3), prompt: "What is magic of 3?" };
  const called = await generateText(agent);
  const streamed = streamText(agent);
  const object = await generateObject({
    ...once,
    schema: z.object({ guests: z.number().int(), name: z.string() }),
    prompt: "A table for 4, for 'Ada'.",
  });
  return {
    text: text.text,
    tokens: text.usage.totalTokens,
    pieces,
    finish: await stream.finishReason,
    streamedTokens: (await stream.usage).totalTokens,
    called: called.text,
    steps: called.steps.length,
    streamed: await streamed.text,
    object: object.object,
  };
}

const results = {};
for (const [kind, model] of Object.entries(models)) results[kind] = await run(model);
console.log(JSON.stringify(results));
