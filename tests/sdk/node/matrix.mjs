// One official SDK against every provider dialect: what it parses must be what the provider said.
//
// Started with {"url", "key", "clients", "providers", "cases"}; prints one JSON line for each combination.
// The same cases as tests/sdk/python/matrix.py, by other parsers.

import { isDeepStrictEqual } from "node:util";

import { CLIENTS } from "./dialects.mjs";
import { plan } from "./plan.mjs";

const WITH_TOOLS = ["tools", "parallel", "result", "thinking"];
const TEXTS = {
  text: "Hello from the höme 世界",
  broken: "Hello from the höme 世界",
  image: "A small square.",
  structured: '{"city":"Paris","population":2}',
  formed: '{"city":"Paris","population":2}',
  length: "Once upon",
};

// What does not hold, as opposed to what an SDK throws.
class Unexpected extends Error {}

function expect(what, wanted, seen) {
  if (!isDeepStrictEqual(wanted, seen)) {
    throw new Unexpected(`${what}: wanted ${JSON.stringify(wanted)}, saw ${JSON.stringify(seen)}`);
  }
}

// The error that the SDK throws, with the provider's words in it.
async function throws(client, name, stream) {
  const words = name === "refused" ? "prompt is too long" : "broke";
  let said;
  try {
    said = await client.ask(stream);
  } catch (error) {
    if (!client.errors.some((known) => error instanceof known)) {
      throw error;
    }
    expect(`the words of ${error.constructor.name} (${error.message.slice(0, 300)})`, true, error.message.includes(words));
    if (name === "refused") {
      expect("status", 400, error.status);
    }
    return;
  }
  throw new Unexpected(`nothing was thrown: ${JSON.stringify(said)}`);
}

async function play(client, provider, name, stream) {
  client.begin(`${provider}-${name}`, { name, tools: WITH_TOOLS.includes(name) });
  if (name === "refused" || (name === "broken" && stream)) {
    return throws(client, name, stream);
  }
  const said = await client.ask(stream);
  expect("usage", [11, 7], said.usage);
  if (WITH_TOOLS.includes(name)) {
    const cities = name === "parallel" ? ["Paris", "Rom"] : ["Paris"];
    expect("calls", cities.map((city) => ["get_weather", { city }]), said.calls);
    expect("stop", client.stops.tools, said.stop);
    client.answerTools();
    const again = await client.ask(stream);
    expect("text", "It is 18 degrees.", again.text);
    return expect("stop", client.stops.end, again.stop);
  }
  if (name === "refusal") {
    return expect("refused", true, Boolean(said.refusal));
  }
  expect("text", TEXTS[name], said.text);
  expect("stop", name === "length" ? client.stops.length : client.stops.end, said.stop);
}

for (const dialect of plan.clients) {
  const client = new CLIENTS[dialect](plan);
  for (const provider of plan.providers) {
    for (const name of plan.cases) {
      for (const stream of [false, true]) {
        const line = { client: dialect, provider, case: name, stream, why: null, version: client.version };
        try {
          await play(client, provider, name, stream);
        } catch (error) {
          line.why = `${error.constructor.name}: ${error.message}`.slice(0, 1500);
          if (!(error instanceof Unexpected)) {
            line.where = error.stack.slice(0, 1500);
          }
        }
        console.log(JSON.stringify(line));
      }
    }
  }
}
