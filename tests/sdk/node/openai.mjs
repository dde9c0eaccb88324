// A smoke run of the official openai package against a running gateway.

import OpenAI, { APIError, AuthenticationError, NotFoundError, PermissionDeniedError, RateLimitError } from "openai";

import { check, plan, raises } from "./plan.mjs";

const open = (apiKey) => new OpenAI({ baseURL: `${plan.url}/v1`, apiKey, maxRetries: 0 });
const client = open(plan.key);
const messages = [{ role: "user", content: "Hello" }];

const answer = await client.chat.completions.create({ model: plan.chat_model, messages });
check("chat has content", Boolean(answer.choices[0].message.content), answer);

let text = "";
for await (const chunk of await client.chat.completions.create({ model: plan.chat_model, messages, stream: true })) {
  text += chunk.choices[0]?.delta?.content ?? "";
}
check("stream has content", text.length > 0, text);

const embeddings = await client.embeddings.create({ model: plan.embedding_model, input: "Hello" });
check("embeddings answer", embeddings.data[0].embedding.length > 0, embeddings);

const names = [];
for await (const model of client.models.list()) {
  names.push(model.id);
}
check("models are listed", names.includes(plan.chat_model), names);

const ask = (with_client, model) => () => with_client.chat.completions.create({ model, messages });
await raises("a bad key", AuthenticationError, 401, ask(open("sk-ym-nobody"), plan.chat_model));
await raises("an unknown model", NotFoundError, 404, ask(client, "no-such-model"));
await raises("no money", APIError, 402, ask(open(plan.poor_key), plan.paid_chat));
await raises("no quota", PermissionDeniedError, 403, ask(open(plan.spent_key), plan.chat_model));
await raises("too fast", RateLimitError, 429, ask(open(plan.slow_key), plan.chat_model));
