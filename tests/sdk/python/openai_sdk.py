"""The official openai package against a running gateway."""

import asyncio

import openai

import plan

given = plan.read()


def client(key=given.key):
    # No retries: each status is to be seen as it comes.
    return openai.OpenAI(base_url=f"{given.url}/v1", api_key=key, max_retries=0, timeout=30)


def user(text):
    return [{"role": "user", "content": text}]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]
# The demo provider calls the first tool when told to.
CALL_A_TOOL = {"x_demo": {"tool": "get_weather"}}


def chat():
    answer = client().chat.completions.create(model=given.chat_model, messages=user("Hello"))
    choice = answer.choices[0]
    plan.check("chat has content", bool(choice.message.content), answer)
    plan.check("chat ends with stop", choice.finish_reason == "stop", choice)
    plan.check("chat states its usage", answer.usage.total_tokens > 0, answer.usage)
    raw = client().chat.completions.with_raw_response.create(
        model=given.chat_model, messages=user("Hello")
    )
    plan.check("chat has a request id", raw.request_id.startswith("req-"), raw.request_id)


def stream():
    text, finished = "", None
    with client().chat.completions.create(
        model=given.chat_model, messages=user("Hello"), stream=True
    ) as chunks:
        for chunk in chunks:
            plan_usage = chunk.usage
            if plan_usage is not None:
                raise SystemExit(f"usage came unasked: {chunk!r}")
            for choice in chunk.choices:
                text += choice.delta.content or ""
                finished = choice.finish_reason or finished
    plan.check("stream has content", bool(text), text)
    plan.check("stream ends with stop", finished == "stop", finished)
    options = {"include_usage": True}
    chunks = list(
        client().chat.completions.create(
            model=given.chat_model, messages=user("Hello"), stream=True, stream_options=options
        )
    )
    with_usage = [chunk for chunk in chunks if chunk.usage is not None]
    plan.check("usage comes once when asked for", len(with_usage) == 1, with_usage)


def tools():
    answer = client().chat.completions.create(
        model=given.chat_model, messages=user("Weather?"), tools=TOOLS, extra_body=CALL_A_TOOL
    )
    choice = answer.choices[0]
    plan.check("tools end with tool_calls", choice.finish_reason == "tool_calls", choice)
    call = choice.message.tool_calls[0]
    plan.check("the tool is the one offered", call.function.name == "get_weather", call)
    follow_up = user("Weather?") + [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    answer = client().chat.completions.create(
        model=given.chat_model, messages=follow_up, tools=TOOLS
    )
    plan.check("a tool's result is answered", bool(answer.choices[0].message.content), answer)
    names, arguments = [], ""
    for chunk in client().chat.completions.create(
        model=given.chat_model,
        messages=user("Weather?"),
        tools=TOOLS,
        stream=True,
        extra_body=CALL_A_TOOL,
    ):
        for choice in chunk.choices:
            for call in choice.delta.tool_calls or []:
                names += [call.function.name] if call.function.name else []
                arguments += call.function.arguments or ""
    plan.check("a streamed tool call is whole", names == ["get_weather"], (names, arguments))


def others():
    embeddings = client().embeddings.create(model=given.embedding_model, input=["one", "two"])
    plan.check("embeddings come for each input", len(embeddings.data) == 2, embeddings)
    plan.check("embeddings are numbers", isinstance(embeddings.data[0].embedding[0], float))
    completion = client().completions.create(model=given.chat_model, prompt="Hello")
    plan.check("completions answer", bool(completion.choices[0].text), completion)
    moderation = client().moderations.create(model=given.moderation_model, input="Hello")
    plan.check("moderations answer", moderation.results[0].flagged is False, moderation)
    names = [model.id for model in client().models.list()]
    plan.check("models are listed", given.chat_model in names, names)
    model = client().models.retrieve(given.chat_model)
    plan.check("a model is found", model.id == given.chat_model, model)


async def concurrently():
    async with openai.AsyncOpenAI(
        base_url=f"{given.url}/v1", api_key=given.key, max_retries=0
    ) as many:
        calls = [
            many.chat.completions.create(model=given.chat_model, messages=user(str(number)))
            for number in range(16)
        ]
        answers = await asyncio.gather(*calls)
    plan.check("sixteen at once are answered", all(a.choices[0].message.content for a in answers))


def errors():
    def ask(model=given.chat_model, key=given.key, text="Hello", **more):
        return lambda: client(key).chat.completions.create(
            model=model, messages=user(text), **more
        )

    def without_model():
        return client().post("/chat/completions", body={"messages": []}, cast_to=object)

    plan.raises("no model", openai.BadRequestError, 400, "INVALID_REQUEST", without_model)
    bad_key = ask(key="sk-ym-nobody")
    plan.raises("a bad key", openai.AuthenticationError, 401, "INVALID_API_KEY", bad_key)
    narrow = ask(key=given.narrow_key)
    plan.raises("a model denied", openai.PermissionDeniedError, 403, "MODEL_NOT_ALLOWED", narrow)
    unknown = ask(model="no-such-model")
    plan.raises("an unknown model", openai.NotFoundError, 404, "MODEL_NOT_FOUND", unknown)
    large = ask(text="x" * (33 * 1024 * 1024))
    plan.raises("a large body", openai.APIStatusError, 413, "BODY_TOO_LARGE", large)
    poor = ask(model=given.paid_chat, key=given.poor_key)
    plan.raises("no money", openai.APIStatusError, 402, "INSUFFICIENT_BALANCE", poor)
    spent = ask(key=given.spent_key)
    plan.raises("no quota", openai.PermissionDeniedError, 403, "QUOTA_REQUEST_EXCEEDED", spent)
    slow = ask(key=given.slow_key)
    error = plan.raises("too fast", openai.RateLimitError, 429, "RATE_LIMIT_RPM", slow)
    plan.check("too fast says when", int(error.response.headers["retry-after"]) >= 1)
    off = ask(model=given.off_chat)
    plan.raises("no account", openai.InternalServerError, 503, "NO_AVAILABLE_UPSTREAM", off)
    silent = ask(model=given.silent_chat)
    plan.raises("a silent one", openai.InternalServerError, 504, "UPSTREAM_TIMEOUT", silent)
    error = plan.raises(
        "a streamed refusal",
        openai.NotFoundError,
        404,
        "MODEL_NOT_FOUND",
        ask(model="no-such-model", stream=True),
    )
    plan.check("the code is in the error", error.code == "MODEL_NOT_FOUND", error.body)


chat()
stream()
tools()
others()
asyncio.run(concurrently())
errors()
