// Signed requests as a Node.js client makes them, one JSON object a line. Takes one argument:
// {"key_id", "secret", "host", "now", "scheme"}.
import { createHash, createHmac } from "node:crypto";

const plan = JSON.parse(process.argv[2]);
const path = "/v1/chat/completions";
const values = [
  {}, [], null, true, 0, -0, 1e3, 1e21, 1.5e-7, 0.1, 123456789.125, "é", "中文", "😀", "\ud83d", "a/b", "\u0000\u007f\u2028",
  { b: 1, a: 2 }, { "é": 1, e: 2 }, { 10: 1, 9: 2 }, [[1, [2.5, { z: null, y: "x" }]]], { a: { d: [1], c: "\n\t" } },
];

function body(value) {
  return Buffer.from(JSON.stringify({ model: "demo-chat", metadata: value, messages: [{ role: "user", content: "hi" }] }));
}

function signHmac(bytes, number) {
  const [timestamp, nonce] = [String(plan.now), `node-${number}`];
  const hash = createHash("sha256").update(bytes).digest("hex");
  const signature = createHmac("sha256", plan.secret).update(plan.key_id + timestamp + nonce + hash).digest("hex");
  return [["X-API-Key", plan.key_id], ["X-Timestamp", timestamp], ["X-Nonce", nonce], ["X-Signature", signature]];
}

function signHttp(bytes, number, query) {
  const algorithm = number % 2 ? "sha-512" : "sha-256";
  const digest = `${algorithm}=:${createHash(algorithm.replace("-", "")).update(bytes).digest("base64")}:`;
  const params = `("@method" "@authority" "@path" "@query" "content-digest" "content-type");created=${plan.now}` +
    `;keyid="${plan.key_id}";alg="hmac-sha256";nonce="node-http-${number}"`;
  const base = [
    `"@method": POST`, `"@authority": ${plan.host}`, `"@path": ${path}`, `"@query": ?${query}`,
    `"content-digest": ${digest}`, `"content-type": application/json`, `"@signature-params": ${params}`,
  ].join("\n");
  const signature = createHmac("sha256", plan.secret).update(base).digest("base64");
  return [["Content-Digest", digest], ["Signature-Input", `sig1=${params}`], ["Signature", `sig1=:${signature}:`]];
}

values.forEach((value, number) => {
  const bytes = body(value);
  const query = plan.scheme === "rfc9421" && number % 3 === 0 ? "n=1&m=%C3%A9" : "";
  const headers = plan.scheme === "rfc9421" ? signHttp(bytes, number, query) : signHmac(bytes, number);
  const target = path + (query ? `?${query}` : "");
  console.log(JSON.stringify({ name: `${plan.scheme} ${number}`, target, headers, body: bytes.toString("base64") }));
});
