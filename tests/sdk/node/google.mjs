// The official @google/genai package against a running gateway.

import { ApiError, GoogleGenAI } from "@google/genai";

import { check, plan } from "./plan.mjs";

const client = (apiKey = plan.key) => new GoogleGenAI({ apiKey, httpOptions: { baseUrl: plan.url } });

const weather = {
  functionDeclarations: [
    {
      name: "get_weather",
      description: "The weather in a city.",
      parametersJsonSchema: {
        type: "object",
        properties: { city: { type: "string" } },
        required: ["city"],
      },
    },
  ],
};

for (const model of [plan.chat_model, ...plan.translated]) {
  const answer = await client().models.generateContent({ model, contents: "Hello" });
  check(`${model}: an answer has text`, Boolean(answer.text), answer);
  check(`${model}: it states its usage`, answer.usageMetadata.totalTokenCount > 0, answer.usageMetadata);

  let text = "";
  let last;
  for await (const chunk of await client().models.generateContentStream({ model, contents: "Hello" })) {
    text += chunk.text ?? "";
    last = chunk;
  }
  check(`${model}: a stream has text`, Boolean(text), text);
  check(`${model}: a stream finishes`, last.candidates[0].finishReason === "STOP", last);

  const called = await client().models.generateContent({
    model,
    contents: "Weather?",
    config: { tools: [weather], toolConfig: { functionCallingConfig: { mode: "ANY" } } },
  });
  check(`${model}: a tool is called`, called.functionCalls?.[0].name === "get_weather", called);
}

const count = await client().models.countTokens({ model: plan.chat_model, contents: "Hello" });
check("tokens are counted", count.totalTokens > 0, count);

try {
  await client("sk-ym-wrong").models.generateContent({ model: plan.chat_model, contents: "x" });
  check("a wrong key raises", false, "nothing was raised");
} catch (error) {
  check("a wrong key raises ApiError", error instanceof ApiError, String(error));
  check("a wrong key has status 401", error.status === 401, error.status);
}
