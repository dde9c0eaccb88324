"""One official SDK against every provider dialect: what it parses must be what the provider said.

Started with {"url", "key", "clients", "providers", "cases", "schema"}; prints one JSON line for each combination.
"""

import json
import sys
import traceback

import plan

given = plan.read()
if given.schema:
    import openai_schema

PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "population": {"type": "integer"}},
    "required": ["city", "population"],
    "additionalProperties": False,
}
ARGUMENTS = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
WITH_TOOLS = ("tools", "parallel", "result", "thinking")
QUESTION = "What is the weather?"
RESULT = "18 degrees"


class Said:
    """What an answer says, in no dialect."""

    def __init__(self):
        self.text = ""
        self.refusal = ""
        self.calls = []
        self.stop = None
        self.usage = None


class Chat:
    """openai, Chat Completions."""

    def __init__(self):
        import openai

        self.errors, self.version = openai, openai.__version__
        self.client = openai.OpenAI(base_url=f"{given.url}/v1", api_key=given.key, max_retries=0, timeout=30)

    def begin(self, model, case):
        content = [{"type": "text", "text": QUESTION}]
        if case == "image":
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}})
        self.call = {"model": model, "messages": [{"role": "user", "content": content}]}
        if case in WITH_TOOLS:
            function = {"name": "get_weather", "description": "The weather.", "parameters": ARGUMENTS}
            self.call["tools"] = [{"type": "function", "function": function}]
        if case in ("structured", "formed"):
            schema = {"name": "city", "schema": SCHEMA, "strict": True}
            self.call["response_format"] = {"type": "json_schema", "json_schema": schema}
        if case == "thinking":
            self.call["reasoning_effort"] = "high"

    def ask(self, stream):
        said = Said()
        if stream:
            options = {"include_usage": True}
            try:
                with self.client.chat.completions.stream(**self.call, stream_options=options) as events:
                    for _ in events:
                        pass
                    answer = events.get_final_completion()
            except self.errors.LengthFinishReasonError as error:
                answer = error.completion
            except self.errors.ContentFilterFinishReasonError:
                said.refusal, said.usage = "filtered", (11, 7)
                return said
        else:
            answer = self.client.chat.completions.create(**self.call)
        choice = answer.choices[0]
        said.text = choice.message.content or ""
        said.refusal = choice.message.refusal or choice.finish_reason == "content_filter"
        self.last = choice.message
        calls = choice.message.tool_calls or []
        said.calls = [(call.function.name, json.loads(call.function.arguments)) for call in calls]
        said.stop = choice.finish_reason
        said.usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        return said

    def answer_tools(self):
        kept = self.last.model_dump(exclude_none=True, include={"role", "content", "tool_calls"})
        for call in kept["tool_calls"]:
            call.get("function", {}).pop("parsed_arguments", None)
            call.pop("index", None)
        self.call["messages"].append(kept)
        for call in self.last.tool_calls:
            self.call["messages"].append({"role": "tool", "tool_call_id": call.id, "content": RESULT})

    stops = {"end": "stop", "tools": "tool_calls", "length": "length"}


class Responses:
    """openai, Responses."""

    def __init__(self):
        import openai

        self.errors, self.version = openai, openai.__version__
        self.client = openai.OpenAI(base_url=f"{given.url}/v1", api_key=given.key, max_retries=0, timeout=30)

    def begin(self, model, case):
        content = [{"type": "input_text", "text": QUESTION}]
        if case == "image":
            content.append({"type": "input_image", "image_url": f"data:image/png;base64,{PIXEL}"})
        self.call = {"model": model, "store": False, "input": [{"role": "user", "content": content}]}
        if case in WITH_TOOLS:
            tool = {"type": "function", "name": "get_weather", "description": "The weather."}
            self.call["tools"] = [{**tool, "parameters": ARGUMENTS, "strict": True}]
        if case in ("structured", "formed"):
            form = {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}
            self.call["text"] = {"format": form}
        if case == "thinking":
            self.call["reasoning"] = {"effort": "high"}
            self.call["include"] = ["reasoning.encrypted_content"]

    def ask(self, stream):
        said = Said()
        if stream:
            with self.client.responses.stream(**self.call) as events:
                for event in events:
                    if event.type == "error":
                        raise self.errors.APIError(event.message, request=None, body=None)
                    if event.type == "response.failed":
                        raise self.errors.APIError(event.response.error.message, request=None, body=None)
                    if event.type in ("response.completed", "response.incomplete"):
                        answer = event.response
        else:
            answer = self.client.responses.create(**self.call)
            if answer.status == "failed":
                raise self.errors.APIError(answer.error.message, request=None, body=None)
        self.last = answer
        for item in answer.output:
            if item.type == "function_call":
                said.calls.append((item.name, json.loads(item.arguments)))
            if item.type == "message":
                for part in item.content:
                    if part.type == "refusal":
                        said.refusal += part.refusal
                    else:
                        said.text += part.text
        incomplete = answer.incomplete_details and answer.incomplete_details.reason
        said.stop = "tools" if said.calls else (incomplete or answer.status)
        said.refusal = said.refusal or incomplete == "content_filter"
        said.usage = (answer.usage.input_tokens, answer.usage.output_tokens)
        return said

    def answer_tools(self):
        for item in self.last.output:
            self.call["input"].append(item.model_dump(exclude_none=True, exclude={"parsed_arguments"}))
        for item in self.last.output:
            if item.type == "function_call":
                output = {"type": "function_call_output", "call_id": item.call_id, "output": RESULT}
                self.call["input"].append(output)

    stops = {"end": "completed", "tools": "tools", "length": "max_output_tokens"}


class Messages:
    """anthropic, Messages."""

    def __init__(self):
        import anthropic

        self.errors, self.version = anthropic, anthropic.__version__
        self.client = anthropic.Anthropic(base_url=given.url, api_key=given.key, max_retries=0, timeout=30)

    def begin(self, model, case):
        content = [{"type": "text", "text": QUESTION}]
        if case == "image":
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            content.append({"type": "image", "source": source})
        self.call = {"model": model, "max_tokens": 4000, "messages": [{"role": "user", "content": content}]}
        if case in WITH_TOOLS:
            tool = {"name": "get_weather", "description": "The weather.", "input_schema": ARGUMENTS}
            self.call["tools"] = [tool]
        if case in ("structured", "formed"):
            form = {"type": "json_schema", "schema": SCHEMA}
            self.call["extra_body"] = {"output_config": {"format": form}}
        if case == "thinking":
            self.call["thinking"] = {"type": "enabled", "budget_tokens": 2000}

    def ask(self, stream):
        said = Said()
        if stream:
            with self.client.messages.stream(**self.call) as events:
                for _ in events:
                    pass
                answer = events.get_final_message()
        else:
            answer = self.client.messages.create(**self.call)
        self.last = answer
        for block in answer.content:
            if block.type == "text":
                said.text += block.text
            if block.type == "tool_use":
                said.calls.append((block.name, block.input))
        said.stop = answer.stop_reason
        if answer.stop_reason == "refusal":
            said.refusal = said.text or "refused"
        said.usage = (answer.usage.input_tokens, answer.usage.output_tokens)
        return said

    def answer_tools(self):
        content = [block.model_dump(exclude_none=True) for block in self.last.content]
        for block in content:
            block.pop("parsed_output", None)
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": RESULT}
            for block in self.last.content
            if block.type == "tool_use"
        ]
        self.call["messages"].append({"role": "assistant", "content": content})
        self.call["messages"].append({"role": "user", "content": results})

    stops = {"end": "end_turn", "tools": "tool_use", "length": "max_tokens"}


class Gemini:
    """google-genai, generateContent."""

    def __init__(self):
        from google import genai
        from google.genai import errors, types

        self.errors, self.types, self.version = errors, types, genai.__version__
        options = types.HttpOptions(base_url=given.url, timeout=30_000)
        self.client = genai.Client(api_key=given.key, http_options=options)

    def begin(self, model, case):
        types = self.types
        parts = [types.Part(text=QUESTION)]
        if case == "image":
            import base64

            parts.append(types.Part.from_bytes(data=base64.b64decode(PIXEL), mime_type="image/png"))
        self.model, self.contents, config = model, [types.Content(role="user", parts=parts)], {}
        if case in WITH_TOOLS:
            declared = types.FunctionDeclaration(
                name="get_weather", description="The weather.", parameters_json_schema=ARGUMENTS
            )
            config["tools"] = [types.Tool(function_declarations=[declared])]
            config["automatic_function_calling"] = types.AutomaticFunctionCallingConfig(disable=True)
        if case in ("structured", "formed"):
            config["response_mime_type"] = "application/json"
            config["response_json_schema"] = SCHEMA
        if case == "thinking":
            config["thinking_config"] = types.ThinkingConfig(include_thoughts=True, thinking_budget=2000)
        self.config = types.GenerateContentConfig(**config)

    def ask(self, stream):
        said = Said()
        asked = {"model": self.model, "contents": self.contents, "config": self.config}
        if stream:
            answers = list(self.client.models.generate_content_stream(**asked))
        else:
            answers = [self.client.models.generate_content(**asked)]
        parts, usage = [], None
        for answer in answers:
            usage = answer.usage_metadata or usage
            for candidate in answer.candidates or []:
                said.stop = candidate.finish_reason or said.stop
                parts.extend((candidate.content and candidate.content.parts) or [])
        said.stop = said.stop and said.stop.value
        self.last = self.types.Content(role="model", parts=parts)
        for part in parts:
            if part.function_call:
                said.calls.append((part.function_call.name, part.function_call.args))
            elif part.text and not part.thought:
                said.text += part.text
        if said.stop == "SAFETY":
            said.refusal = said.text or "refused"
        said.usage = (usage.prompt_token_count, usage.candidates_token_count)
        return said

    def answer_tools(self):
        types, results = self.types, []
        for part in self.last.parts:
            if part.function_call:
                reply = types.FunctionResponse(
                    id=part.function_call.id, name=part.function_call.name, response={"result": RESULT}
                )
                results.append(types.Part(function_response=reply))
        self.contents += [self.last, types.Content(role="user", parts=results)]

    stops = {"end": "STOP", "tools": "STOP", "length": "MAX_TOKENS"}


def expect(what, wanted, seen):
    if wanted != seen:
        raise AssertionError(f"{what}: wanted {wanted!r}, saw {seen!r}")


def raises(client, case, stream):
    """The error that the SDK raises, with the provider's words in it."""
    words = "prompt is too long" if case == "refused" else "broke"
    try:
        said = client.ask(stream)
    except Exception as error:
        if not type(error).__module__.startswith(("openai", "anthropic", "google")):
            raise
        if words not in str(error):
            raise AssertionError(f"{type(error).__name__} says {str(error)[:300]!r}")
        status = getattr(error, "status_code", None) or getattr(error, "code", None)
        if case == "refused":
            expect("status", 400, status)
        return
    raise AssertionError(f"nothing was raised: {vars(said)!r}")


def play(client, provider, case, stream):
    client.begin(f"{provider}-{case}", case)
    if case == "refused" or case == "broken" and stream:
        return raises(client, case, stream)
    said = client.ask(stream)
    expect("usage", (11, 7), said.usage)
    paris = ("get_weather", {"city": "Paris"})
    if case in WITH_TOOLS:
        calls = [paris, ("get_weather", {"city": "Rom"})] if case == "parallel" else [paris]
        expect("calls", calls, said.calls)
        expect("stop", client.stops["tools"], said.stop)
        client.answer_tools()
        again = client.ask(stream)
        expect("text", "It is 18 degrees.", again.text)
        return expect("stop", client.stops["end"], again.stop)
    if case == "refusal":
        return expect("refused", True, bool(said.refusal))
    text = {
        "text": "Hello from the höme 世界",
        "broken": "Hello from the höme 世界",
        "image": "A small square.",
        "structured": '{"city":"Paris","population":2}',
        "formed": '{"city":"Paris","population":2}',
        "length": "Once upon",
    }[case]
    expect("text", text, said.text)
    expect("stop", client.stops["length" if case == "length" else "end"], said.stop)


CLIENTS = {
    "openai_chat": Chat,
    "openai_responses": Responses,
    "anthropic_messages": Messages,
    "gemini": Gemini,
}


def main():
    schema = given.schema and openai_schema.Judge(given.schema)
    for name in given.clients:
        client = CLIENTS[name]()
        by_schema = schema if name.startswith("openai_") else None
        for provider in given.providers:
            for case in given.cases:
                for stream in (False, True):
                    line = {"client": name, "provider": provider, "case": case, "stream": stream, "why": None}
                    line["version"] = client.version
                    try:
                        if by_schema:
                            client.begin(f"{provider}-{case}", case)
                            openai_schema.judge(by_schema, given, name, client.call, stream)
                        play(client, provider, case, stream)
                    except Exception as error:
                        line["why"] = f"{type(error).__name__}: {error}"[:1500]
                        if not isinstance(error, AssertionError):
                            line["where"] = traceback.format_exc(limit=-3)[-1500:]
                    print(json.dumps(line), flush=True)


main()
sys.exit(0)
