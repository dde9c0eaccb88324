"""The official anthropic package against a running gateway."""

import asyncio

import anthropic

import plan

given = plan.read()


def client(key=given.key):
    # No retries: each status is to be seen as it comes.
    return anthropic.Anthropic(base_url=given.url, api_key=key, max_retries=0, timeout=30)


def user(text):
    return [{"role": "user", "content": text}]


TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather in a city.",
        "input_schema": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    }
]
# The demo provider calls the first tool when told to.
CALL_A_TOOL = {"x_demo": {"tool": "get_weather"}}


def ask(model=given.chat_model, key=given.key, text="Hello", **more):
    return client(key).messages.create(model=model, max_tokens=64, messages=user(text), **more)


def messages():
    answer = ask()
    plan.check("a message has text", bool(answer.content[0].text), answer)
    plan.check("a message ends its turn", answer.stop_reason == "end_turn", answer)
    plan.check("a message states its usage", answer.usage.output_tokens > 0, answer.usage)
    plan.check("a message has a request id", answer._request_id.startswith("req-"), answer)
    token = anthropic.Anthropic(
        base_url=given.url, api_key=None, auth_token=given.key, max_retries=0
    )
    answer = token.messages.create(model=given.chat_model, max_tokens=8, messages=user("Hello"))
    plan.check("a bearer token works too", bool(answer.content), answer)


def stream():
    with client().messages.stream(
        model=given.chat_model, max_tokens=64, messages=user("Hello")
    ) as events:
        text = "".join(events.text_stream)
        final = events.get_final_message()
    plan.check("a stream has text", bool(text), text)
    plan.check("a stream adds up to a message", final.content[0].text == text, final)
    plan.check("a stream ends its turn", final.stop_reason == "end_turn", final)
    kinds = [event.type for event in ask(stream=True)]
    plan.check("a stream begins", kinds[0] == "message_start", kinds)
    plan.check("a stream stops", kinds[-1] == "message_stop", kinds)


def tools():
    answer = ask(text="Weather?", tools=TOOLS, extra_body=CALL_A_TOOL)
    plan.check("tools stop for a tool", answer.stop_reason == "tool_use", answer)
    use = next(block for block in answer.content if block.type == "tool_use")
    plan.check("the tool is the one offered", use.name == "get_weather", use)
    follow_up = user("Weather?") + [
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in answer.content]},
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": use.id, "content": "sunny"}],
        },
    ]
    answer = client().messages.create(
        model=given.chat_model, max_tokens=64, messages=follow_up, tools=TOOLS
    )
    plan.check("a tool's result is answered", bool(answer.content), answer)
    with client().messages.stream(
        model=given.chat_model,
        max_tokens=64,
        messages=user("Weather?"),
        tools=TOOLS,
        extra_body=CALL_A_TOOL,
    ) as events:
        final = events.get_final_message()
    uses = [block for block in final.content if block.type == "tool_use"]
    plan.check("a streamed tool use is whole", [u.name for u in uses] == ["get_weather"], final)


def others():
    count = client().messages.count_tokens(model=given.chat_model, messages=user("Hello"))
    plan.check("tokens are counted", count.input_tokens > 0, count)
    names = [model.id for model in client().models.list()]
    plan.check("models are listed", given.chat_model in names, names)
    model = client().models.retrieve(given.chat_model)
    plan.check("a model is found", model.id == given.chat_model, model)
    beta = client().beta.messages.create(
        model=given.chat_model, max_tokens=8, messages=user("Hello"), betas=["never-heard-of"]
    )
    plan.check("an unknown beta passes", bool(beta.content), beta)


async def concurrently():
    async with anthropic.AsyncAnthropic(
        base_url=given.url, api_key=given.key, max_retries=0
    ) as many:
        calls = [
            many.messages.create(model=given.chat_model, max_tokens=8, messages=user(str(number)))
            for number in range(16)
        ]
        answers = await asyncio.gather(*calls)
    plan.check("sixteen at once are answered", all(answer.content for answer in answers))


def errors():
    def without_model():
        return client().post("/v1/messages", body={"messages": []}, cast_to=object)

    plan.raises("no model", anthropic.BadRequestError, 400, "INVALID_REQUEST", without_model)
    cases = [
        ("a bad key", "AuthenticationError", 401, "INVALID_API_KEY", {"key": "sk-ym-nobody"}),
        ("a model denied", "PermissionDeniedError", 403, "MODEL_NOT_ALLOWED", {"key": given.narrow_key}),
        ("an unknown model", "NotFoundError", 404, "MODEL_NOT_FOUND", {"model": "no-such-model"}),
        ("a large body", "RequestTooLargeError", 413, "BODY_TOO_LARGE", {"text": "x" * (33 << 20)}),
        ("no money", "PaymentRequiredError", 402, "INSUFFICIENT_BALANCE", {"key": given.poor_key, "model": given.paid_messages}),
        ("no quota", "PermissionDeniedError", 403, "QUOTA_REQUEST_EXCEEDED", {"key": given.spent_key}),
        ("too fast", "RateLimitError", 429, "RATE_LIMIT_RPM", {"key": given.slow_key}),
        ("no account", "ServiceUnavailableError", 503, "NO_AVAILABLE_UPSTREAM", {"model": given.off_messages}),
        ("a silent one", "DeadlineExceededError", 504, "UPSTREAM_TIMEOUT", {"model": given.silent_messages}),
    ]
    for what, name, status, code, more in cases:
        error_class = getattr(anthropic, name, None) or getattr(anthropic._exceptions, name)
        error = plan.raises(what, error_class, status, code, lambda: ask(**more))
        plan.check(f"{what} has a type", isinstance(error.body["error"]["type"], str), error.body)


messages()
stream()
tools()
others()
asyncio.run(concurrently())
errors()
