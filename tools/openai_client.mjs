// Try OpenAI's JavaScript client against `saring serve`, by hand: it must work unchanged.
//
//   npm install --no-save openai && node tools/openai_client.mjs http://127.0.0.1:9090/v1 saring_...
//
// Prints one JSON line and exits with 0, or says what is not as it should be.
import assert from "node:assert/strict";
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
assert(baseURL && apiKey, "usage: node tools/openai_client.mjs URL TOKEN");
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });

const single = await client.moderations.create({ input: "selamat pagi" });
assert.equal(single.results.length, 1);
assert.equal(typeof single.results[0].flagged, "boolean");
assert.equal(typeof single.results[0].category_scores["self-harm"], "number");

const several = await client.moderations.create({
  model: "omni-moderation-latest",
  input: ["bodoh betul kau ni", "selamat pagi"],
});
assert.equal(several.results.length, 2);
assert.deepEqual(several.results[1].category_applied_input_types.hate, ["text"]);

const parts = await client.moderations.create({ input: [{ type: "text", text: "selamat pagi" }] });
assert.deepEqual(parts.results[0].category_scores, single.results[0].category_scores);

const image = { type: "image_url", image_url: { url: "https://example.org/a.png" } };
await assert.rejects(client.moderations.create({ input: [image] }), OpenAI.BadRequestError);
const stranger = new OpenAI({ baseURL, apiKey: "saring_none", maxRetries: 0 });
await assert.rejects(stranger.moderations.create({ input: "a" }), OpenAI.AuthenticationError);

const models = [];
for await (const model of client.models.list()) models.push(model.id);
assert.deepEqual(models, [single.model]);
console.log(JSON.stringify({ client: "openai (JavaScript)", node: process.version, model: single.model, passed: true }));
