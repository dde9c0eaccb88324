// The official SDKs behind one face: `begin` a case, `ask` for an answer, `answerTools` that were called.
//
// `ask` says what the SDK parsed, in no dialect: {text, refusal, calls, stop, usage}.

import { readFileSync } from "node:fs";

import Anthropic, { AnthropicError } from "@anthropic-ai/sdk";
import { ApiError, GoogleGenAI } from "@google/genai";
import OpenAI, { OpenAIError } from "openai";

const PIXEL =
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, population: { type: "integer" } },
  required: ["city", "population"],
  additionalProperties: false,
};
const ARGUMENTS = {
  type: "object",
  properties: { city: { type: "string" } },
  required: ["city"],
  additionalProperties: false,
};
const TOOL = { name: "get_weather", description: "The weather." };
const QUESTION = "What is the weather?";
const RESULT = "18 degrees";

// Packages do not let their package.json be imported.
function version(name) {
  return JSON.parse(readFileSync(new URL(`node_modules/${name}/package.json`, import.meta.url), "utf8")).version;
}

// openai, Chat Completions.
class Chat {
  version = version("openai");
  errors = [OpenAIError];
  stops = { end: "stop", tools: "tool_calls", length: "length" };

  constructor({ url, key }) {
    this.client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  }

  begin(model, { name, tools }) {
    const content = [{ type: "text", text: QUESTION }];
    if (name === "image") {
      content.push({ type: "image_url", image_url: { url: `data:image/png;base64,${PIXEL}` } });
    }
    this.call = { model, messages: [{ role: "user", content }] };
    if (tools) {
      this.call.tools = [{ type: "function", function: { ...TOOL, parameters: ARGUMENTS } }];
    }
    if (["structured", "formed"].includes(name)) {
      const json_schema = { name: "city", schema: SCHEMA, strict: true };
      this.call.response_format = { type: "json_schema", json_schema };
    }
    if (name === "thinking") {
      this.call.reasoning_effort = "high";
    }
  }

  async ask(stream) {
    const completions = this.client.chat.completions;
    const answer = stream
      ? await completions.stream({ ...this.call, stream_options: { include_usage: true } }).finalChatCompletion()
      : await completions.create(this.call);
    const { message, finish_reason } = answer.choices[0];
    this.last = message;
    const calls = message.tool_calls ?? [];
    return {
      text: message.content ?? "",
      refusal: message.refusal || finish_reason === "content_filter",
      calls: calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]),
      stop: finish_reason,
      usage: [answer.usage.prompt_tokens, answer.usage.completion_tokens],
    };
  }

  answerTools() {
    this.call.messages.push(this.last);
    for (const call of this.last.tool_calls) {
      this.call.messages.push({ role: "tool", tool_call_id: call.id, content: RESULT });
    }
  }
}

// openai, Responses.
class Responses {
  version = version("openai");
  errors = [OpenAIError];
  stops = { end: "completed", tools: "tools", length: "max_output_tokens" };

  constructor({ url, key }) {
    this.client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, maxRetries: 0 });
  }

  begin(model, { name, tools }) {
    const content = [{ type: "input_text", text: QUESTION }];
    if (name === "image") {
      content.push({ type: "input_image", image_url: `data:image/png;base64,${PIXEL}`, detail: "auto" });
    }
    this.call = { model, store: false, input: [{ role: "user", content }] };
    if (tools) {
      this.call.tools = [{ type: "function", ...TOOL, parameters: ARGUMENTS, strict: true }];
    }
    if (["structured", "formed"].includes(name)) {
      this.call.text = { format: { type: "json_schema", name: "city", schema: SCHEMA, strict: true } };
    }
    if (name === "thinking") {
      this.call.reasoning = { effort: "high" };
      this.call.include = ["reasoning.encrypted_content"];
    }
  }

  async ask(stream) {
    const responses = this.client.responses;
    const answer = stream
      ? await responses.stream(this.call).finalResponse()
      : await responses.create(this.call);
    if (answer.status === "failed") {
      throw new OpenAIError(answer.error.message);
    }
    this.last = answer;
    const parts = answer.output.filter((item) => item.type === "message").flatMap((item) => item.content);
    const said = (type, field) => parts.filter((part) => part.type === type).map((part) => part[field]).join("");
    const calls = answer.output.filter((item) => item.type === "function_call");
    const incomplete = answer.incomplete_details?.reason;
    return {
      text: said("output_text", "text"),
      refusal: said("refusal", "refusal") || incomplete === "content_filter",
      calls: calls.map((call) => [call.name, JSON.parse(call.arguments)]),
      stop: calls.length > 0 ? "tools" : (incomplete ?? answer.status),
      usage: [answer.usage.input_tokens, answer.usage.output_tokens],
    };
  }

  answerTools() {
    for (const { parsed_arguments: _, ...item } of this.last.output) {
      this.call.input.push(item);
    }
    for (const { type, call_id } of this.last.output) {
      if (type === "function_call") {
        this.call.input.push({ type: "function_call_output", call_id, output: RESULT });
      }
    }
  }
}

// @anthropic-ai/sdk, Messages.
class Messages {
  version = version("@anthropic-ai/sdk");
  errors = [AnthropicError];
  stops = { end: "end_turn", tools: "tool_use", length: "max_tokens" };

  constructor({ url, key }) {
    this.client = new Anthropic({ baseURL: url, apiKey: key, maxRetries: 0 });
  }

  begin(model, { name, tools }) {
    const content = [{ type: "text", text: QUESTION }];
    if (name === "image") {
      content.push({ type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } });
    }
    this.call = { model, max_tokens: 4000, messages: [{ role: "user", content }] };
    if (tools) {
      this.call.tools = [{ ...TOOL, input_schema: ARGUMENTS }];
    }
    if (["structured", "formed"].includes(name)) {
      this.call.output_config = { format: { type: "json_schema", schema: SCHEMA } };
    }
    if (name === "thinking") {
      this.call.thinking = { type: "enabled", budget_tokens: 2000 };
    }
  }

  async ask(stream) {
    const messages = this.client.messages;
    const answer = stream ? await messages.stream(this.call).finalMessage() : await messages.create(this.call);
    this.last = answer;
    const of = (type) => answer.content.filter((block) => block.type === type);
    const text = of("text").map((block) => block.text).join("");
    return {
      text,
      refusal: answer.stop_reason === "refusal",
      calls: of("tool_use").map((block) => [block.name, block.input]),
      stop: answer.stop_reason,
      usage: [answer.usage.input_tokens, answer.usage.output_tokens],
    };
  }

  answerTools() {
    const calls = this.last.content.filter((block) => block.type === "tool_use");
    const content = calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: RESULT }));
    this.call.messages.push({ role: "assistant", content: this.last.content });
    this.call.messages.push({ role: "user", content });
  }
}

// @google/genai, generateContent.
class Gemini {
  version = version("@google/genai");
  errors = [ApiError];
  stops = { end: "STOP", tools: "STOP", length: "MAX_TOKENS" };

  constructor({ url, key }) {
    this.client = new GoogleGenAI({ apiKey: key, httpOptions: { baseUrl: url } });
  }

  begin(model, { name, tools }) {
    const parts = [{ text: QUESTION }];
    if (name === "image") {
      parts.push({ inlineData: { mimeType: "image/png", data: PIXEL } });
    }
    const config = {};
    if (tools) {
      config.tools = [{ functionDeclarations: [{ ...TOOL, parametersJsonSchema: ARGUMENTS }] }];
    }
    if (["structured", "formed"].includes(name)) {
      config.responseMimeType = "application/json";
      config.responseJsonSchema = SCHEMA;
    }
    if (name === "thinking") {
      config.thinkingConfig = { includeThoughts: true, thinkingBudget: 2000 };
    }
    this.call = { model, contents: [{ role: "user", parts }], config };
  }

  async ask(stream) {
    const models = this.client.models;
    const answers = [];
    if (stream) {
      for await (const answer of await models.generateContentStream(this.call)) {
        answers.push(answer);
      }
    } else {
      answers.push(await models.generateContent(this.call));
    }
    const candidates = answers.flatMap((answer) => answer.candidates ?? []);
    const parts = candidates.flatMap((candidate) => candidate.content?.parts ?? []);
    const stop = candidates.map((candidate) => candidate.finishReason).findLast(Boolean);
    const usage = answers.map((answer) => answer.usageMetadata).findLast(Boolean);
    this.last = { role: "model", parts };
    return {
      text: parts.filter((part) => part.text && !part.thought).map((part) => part.text).join(""),
      refusal: stop === "SAFETY",
      calls: parts.filter((part) => part.functionCall).map(({ functionCall: { name, args } }) => [name, args]),
      stop,
      usage: [usage.promptTokenCount, usage.candidatesTokenCount],
    };
  }

  answerTools() {
    const calls = this.last.parts.filter((part) => part.functionCall);
    const parts = calls.map(({ functionCall: { id, name } }) => ({
      functionResponse: { id, name, response: { result: RESULT } },
    }));
    this.call.contents.push(this.last, { role: "user", parts });
  }
}

export const CLIENTS = {
  openai_chat: Chat,
  openai_responses: Responses,
  anthropic_messages: Messages,
  gemini: Gemini,
};
