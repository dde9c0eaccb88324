// A smoke run of the official @anthropic-ai/sdk package against a running gateway.

import Anthropic, {
  AuthenticationError,
  NotFoundError,
  PaymentRequiredError,
  PermissionDeniedError,
  RateLimitError,
} from "@anthropic-ai/sdk";

import { check, plan, raises } from "./plan.mjs";

const open = (apiKey) => new Anthropic({ baseURL: plan.url, apiKey, maxRetries: 0 });
const client = open(plan.key);
const request = { model: plan.chat_model, max_tokens: 64, messages: [{ role: "user", content: "Hello" }] };

const answer = await client.messages.create(request);
check("a message has text", Boolean(answer.content[0].text), answer);

const stream = client.messages.stream(request);
const final = await stream.finalMessage();
check("a stream adds up to a message", final.stop_reason === "end_turn", final);

const count = await client.messages.countTokens({ model: plan.chat_model, messages: request.messages });
check("tokens are counted", count.input_tokens > 0, count);

const names = [];
for await (const model of client.models.list()) {
  names.push(model.id);
}
check("models are listed", names.includes(plan.chat_model), names);

const ask = (with_client, model) => () => with_client.messages.create({ ...request, model });
await raises("a bad key", AuthenticationError, 401, ask(open("sk-ym-nobody"), plan.chat_model));
await raises("an unknown model", NotFoundError, 404, ask(client, "no-such-model"));
await raises("no money", PaymentRequiredError, 402, ask(open(plan.poor_key), plan.paid_messages));
await raises("no quota", PermissionDeniedError, 403, ask(open(plan.spent_key), plan.chat_model));
await raises("too fast", RateLimitError, 429, ask(open(plan.slow_key), plan.chat_model));
