// The SDKs from npm against the stand-ins at argv[2], with the recording argv[3] as speech; started by `run`.

import assert from "node:assert";
import { readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";
import OpenAI from "openai";

const [address, speech] = process.argv.slice(2);
const KEY = "stand-in-key";

// The recordings have 8 bits and a header of 44 bytes.
const sound = Int16Array.from(readFileSync(speech).subarray(44), (byte) => (byte - 128) << 8);

async function deepgram() {
  const url = { base: `http://${address}`, production: `ws://${address}`, agent: `ws://${address}`, agentRest: `http://${address}` };
  const client = new DeepgramClient({ apiKey: KEY, environment: url });
  const socket = await client.listen.v1.connect({ model: "nova-3", encoding: "linear16", sample_rate: 16000 });
  const metadata = new Promise((resolve, reject) => {
    const transcripts = [];
    socket.on("error", reject);
    socket.on("message", (message) => {
      if (message.type === "Results" && message.is_final) transcripts.push(message.channel.alternatives[0].transcript);
      if (message.type === "Metadata") resolve({ transcripts, message });
    });
  });
  socket.connect();
  await socket.waitForOpen();
  for (let at = 0; at < sound.length; at += 512) socket.sendMedia(sound.slice(at, at + 512));
  socket.sendFinalize({ type: "Finalize" });
  socket.sendCloseStream({ type: "CloseStream" });
  const { transcripts, message } = await metadata;
  assert.deepStrictEqual(transcripts, ["What is the weather like in Paris today?"]);
  assert(message.request_id && message.sha256.length === 64 && !Number.isNaN(Date.parse(message.created)));
  socket.close();
}

async function chat() {
  const client = new OpenAI({ baseURL: `http://${address}/v1`, apiKey: KEY, maxRetries: 0 });
  const messages = [{ role: "user", content: "Hello" }];
  const stream = await client.chat.completions.create({ model: "gpt-4o-mini", messages, stream: true, stream_options: { include_usage: true } });
  let text = "", usage = null;
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert(text.startsWith("Hello to you too."), text);
  assert(usage.total_tokens > 0);
  await assert.rejects(
    new OpenAI({ baseURL: `http://${address}/v1`, apiKey: "wrong", maxRetries: 0 }).chat.completions.create({ model: "m", messages }),
    (error) => error.status === 401,
  );
}

let failed = 0;
for (const check of [deepgram, chat]) {
  try {
    await check();
    console.log(`clients.mjs, ${check.name} ... passed`);
  } catch (error) {
    failed = 1;
    console.log(`clients.mjs, ${check.name} ... FAILED: ${error}`);
  }
}
process.exit(failed);
