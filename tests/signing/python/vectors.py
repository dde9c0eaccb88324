"""Signed requests as a Python client makes them, one JSON object a line.

Takes one argument: {"key_id", "secret", "host", "now", "scheme"}. The bodies are documents whose canonical form
json.dumps decides; every one is sent in a serialisation that differs from what was signed.
"""

import base64
import hashlib
import hmac
import json
import random
import sys

PLAN = json.loads(sys.argv[1])
SECRET = PLAN["secret"].encode()
PATH = "/v1/chat/completions"

# Texts within "metadata", which the gateway passes on as it comes.
TEXTS = [
    "{}", "[]", "null", "true", "false", '""', "0", "-0", "-0.0", "1E3", "1e3", "1.50", "1e16", "1e15", "1e-5",
    "0.0001", "123456789012345678901234567890", "9007199254740993.0", "5e-324", "1.7976931348623157e308", "1e400",
    "0.1", "1e22", "-1.5E-7", "100", "3.0", "2.5e+10", '"é"', '"中文"', '"😀"', '"\\ud83d\\ude00"', '"\\ud83d"',
    '"\\u00e9"', '"\\/"', '"/"', '"\\b\\f\\n\\r\\t"', '"\\u007f"', '"\x7f"', '"\\u0000"', '"\\"\\\\"', '"\\u2028"',
    '{"b":1,"a":2}', '{"é":1,"e":2,"z":3}', '{"😀":1,"\\uffff":2,"\\ud800":3,"a":4}', '{"10":1,"9":2,"1":3}',
    '{"a":{"d":[1,{"z":1,"y":[{"x":2,"w":3}]}],"c":2}}', '[ 1 , 2.0 , [ 3 , { "b" : null , "a" : "x" } ] ]',
    '{"":0," ":1,"\\t":2}', '{"A":1,"a":2,"_":3,"Z":4}', '[[[[[[[[1.10]]]]]]]]',
]


def sign(body_hash, number):
    """The headers of hmac-v1, made as every client of the scheme makes them."""
    timestamp, nonce = str(PLAN["now"]), f"python-{number}"
    message = PLAN["key_id"] + timestamp + nonce + body_hash
    signature = hmac.new(SECRET, message.encode(), hashlib.sha256).hexdigest()
    return [["X-API-Key", PLAN["key_id"]], ["X-Timestamp", timestamp], ["X-Nonce", nonce], ["X-Signature", signature]]


def sign_rfc9421(body, number, query):
    digest = "sha-256=:" + base64.b64encode(hashlib.sha256(body).digest()).decode() + ":"
    params = (
        '("@method" "@authority" "@path" "@query" "content-digest")'
        f';created={PLAN["now"]};keyid="{PLAN["key_id"]}";alg="hmac-sha256";nonce="python-http-{number}"'
    )
    base = "\n".join([
        '"@method": POST', f'"@authority": {PLAN["host"]}', f'"@path": {PATH}', f'"@query": ?{query}',
        f'"content-digest": {digest}', f'"@signature-params": {params}',
    ])
    signature = base64.b64encode(hmac.new(SECRET, base.encode(), hashlib.sha256).digest()).decode()
    return [["Content-Digest", digest], ["Signature-Input", "sig1=" + params], ["Signature", f"sig1=:{signature}:"]]


def random_value(chance, depth=0):
    kind = chance.randrange(8 if depth < 4 else 6)
    if kind == 0:
        return chance.choice([True, False, None])
    if kind == 1:
        return chance.randrange(-10**18, 10**18)
    if kind in (2, 3):
        return chance.uniform(-1, 1) * 10 ** chance.randrange(-12, 20)
    if kind in (4, 5):
        letters = [chr(chance.choice([chance.randrange(1, 128), chance.randrange(0x80, 0xD800), chance.randrange(0x10000, 0x11000)])) for _ in range(chance.randrange(8))]
        return "".join(letters)
    if kind == 6:
        return [random_value(chance, depth + 1) for _ in range(chance.randrange(4))]
    return {str(random_value(chance, 9)): random_value(chance, depth + 1) for _ in range(chance.randrange(5))}


def documents():
    """The text that is sent, for each document."""
    for text in TEXTS:
        yield '{ "model":"demo-chat", "metadata": %s ,"messages":[{"role":"user","content":"hi"}]}' % text
    chance = random.Random(9421)
    for n in range(80):
        value = {"model": "demo-chat", "metadata": random_value(chance), "messages": [{"role": "user", "content": "hi"}]}
        styles = [dict(indent=2), dict(ensure_ascii=False), dict(separators=(" ,", " : ")), dict(sort_keys=True, indent=1)]
        yield json.dumps(value, **styles[n % len(styles)])


def emit(name, headers, body, query=""):
    target = PATH + ("?" + query if query else "")
    line = {"name": name, "target": target, "headers": headers, "body": base64.b64encode(body).decode()}
    print(json.dumps(line))


def main():
    for number, text in enumerate(documents()):
        body = text.encode("utf-8", "surrogatepass")
        if PLAN["scheme"] == "hmac-v1":
            canonical = json.dumps(json.loads(body), separators=(",", ":"), sort_keys=True).encode()
            emit(f"canonical {number}", sign(hashlib.sha256(canonical).hexdigest(), f"c{number}"), body)
            if number % 2 == 0:
                emit(f"raw {number}", sign(hashlib.sha256(body).hexdigest(), f"r{number}"), body)
        elif number % 5 == 0:
            query = ["", "a=1&b=%20c", "x"][number % 3]
            emit(f"rfc9421 {number}", sign_rfc9421(body, number, query), body, query)


main()
