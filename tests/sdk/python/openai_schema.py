"""Judges answers by OpenAI's published OpenAPI document, which stays outside the repository.

The document names its types loosely (any of fifty events); here an event or an item must be of the one type
that its own `type` names.
"""

import json
import urllib.error
import urllib.request

import jsonschema_rs
import yaml

PATHS = {"openai_chat": "/v1/chat/completions", "openai_responses": "/v1/responses"}
WHOLE = {"openai_chat": "CreateChatCompletionResponse", "openai_responses": "Response"}


def nulls(schema):
    """The schema with `nullable`, which the document has beside OpenAPI 3.1's own way, in that way."""
    if isinstance(schema, list):
        return [nulls(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    changed = {name: nulls(part) for name, part in schema.items() if name != "nullable"}
    return {"anyOf": [changed, {"type": "null"}]} if schema.get("nullable") is True else changed


# Codes of failures that OpenAI's service sends and its document lacks (Codex acts on them).
UNLISTED_CODES = ("insufficient_quota", "context_length_exceeded")


def plain(response):
    """A response without that in which OpenAI's service, as recorded, itself differs from its document: usage
    is null before the end and where the response failed, and its failures have further codes."""
    response = {name: value for name, value in response.items() if name != "usage" or value is not None}
    error = response.get("error") or {}
    # This gateway's own codes are in capitals.
    if error.get("code") in UNLISTED_CODES or str(error.get("code")).isupper():
        response["error"] = {**error, "code": "server_error"}
    return response


class Judge:
    """The schemas of one document."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            components = yaml.load(file, Loader=yaml.CSafeLoader)["components"]
        # Examples have dates, which JSON has not.
        self.components = nulls(json.loads(json.dumps(components, default=str)))
        self.schemas = self.components["schemas"]
        self.validators = {}
        self.events = self.by_type("ResponseStreamEvent")
        self.items = self.by_type("OutputItem")

    def by_type(self, union):
        """The members of a union by the `type` that each of them has."""
        members = {}
        for member in self.schemas[union].get("anyOf") or self.schemas[union]["oneOf"]:
            name = member["$ref"].rsplit("/", 1)[1]
            schema = self.schemas[name]
            kinds = [part.get("properties", {}).get("type", {}) for part in [schema, *schema.get("allOf", [])]]
            for kind in kinds:
                for value in kind.get("enum", [kind["const"]] if "const" in kind else []):
                    members[value] = name
        return members

    def check(self, name, value):
        """What of a value is not as the schema of that name has it."""
        if name not in self.validators:
            schema = {"$ref": f"#/components/schemas/{name}", "components": self.components}
            self.validators[name] = jsonschema_rs.Draft202012Validator(schema)
        for error in self.validators[name].iter_errors(value):
            place = "/".join(str(step) for step in error.instance_path)
            yield f"{name}: {place}: {error.message[:300]}"

    def response(self, value):
        """What is wrong with a response object and the items in it."""
        value = plain(value)
        yield from self.check("Response", value)
        for item in value.get("output", []):
            yield from self.item(item)

    def item(self, item):
        kind = item.get("type")
        if kind not in self.items:
            yield f"no output item is of type {kind!r}"
        else:
            yield from self.check(self.items[kind], item)

    def event(self, dialect, value):
        """What is wrong with one event of a stream."""
        if dialect == "openai_chat":
            # In a stream an error is told in its envelope, as the official SDKs read it.
            name = "ErrorResponse" if "error" in value else "CreateChatCompletionStreamResponse"
            yield from self.check(name, value)
            return
        kind = value.get("type")
        if kind not in self.events:
            yield f"no event is of type {kind!r}"
            return
        if "response" in value:
            value = {**value, "response": plain(value["response"])}
            yield from self.response(value["response"])
        yield from self.check(self.events[kind], value)
        if "item" in value:
            yield from self.item(value["item"])

    def answer(self, dialect, status, body, stream):
        """What is wrong with an answer."""
        if status >= 400:
            yield from self.check("ErrorResponse", json.loads(body))
        elif stream:
            for line in body.splitlines():
                if line.startswith("data: ") and line != "data: [DONE]":
                    yield from self.event(dialect, json.loads(line[6:]))
        elif dialect == "openai_responses":
            yield from self.response(json.loads(body))
        else:
            yield from self.check(WHOLE[dialect], json.loads(body))


def ask(given, dialect, call, stream):
    """Sends what the SDK would send, and returns the status and the body as they came."""
    body = {**call, "stream": stream}
    if stream and dialect == "openai_chat":
        body["stream_options"] = {"include_usage": True}
    headers = {"authorization": f"Bearer {given.key}", "content-type": "application/json"}
    request = urllib.request.Request(given.url + PATHS[dialect], json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def judge(judge_, given, dialect, call, stream):
    """Raises where an answer is not as OpenAI's document has it."""
    wrong = sorted(set(judge_.answer(dialect, *ask(given, dialect, call, stream), stream)))
    if wrong:
        raise AssertionError("by OpenAI's schema: " + "; ".join(wrong)[:1400])
