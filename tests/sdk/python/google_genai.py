"""The official google-genai package against a running gateway."""

from google import genai
from google.genai import errors, types

import plan

given = plan.read()


# A client that nobody holds closes its connections at once.
clients = {}


def client(key=given.key):
    options = types.HttpOptions(base_url=given.url, timeout=30_000)
    if key not in clients:
        clients[key] = genai.Client(api_key=key, http_options=options)
    return clients[key]


WEATHER = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            description="The weather in a city.",
            parameters_json_schema={
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        )
    ]
)
FORCED = types.ToolConfig(function_calling_config=types.FunctionCallingConfig(mode="ANY"))


def whole(model):
    answer = client().models.generate_content(model=model, contents="Hello")
    plan.check(f"{model}: an answer has text", bool(answer.text), answer)
    plan.check(f"{model}: it is finished", answer.candidates[0].finish_reason == "STOP", answer)
    usage = answer.usage_metadata
    plan.check(f"{model}: it states its usage", usage.total_token_count > 0, usage)


def stream(model):
    chunks = list(client().models.generate_content_stream(model=model, contents="Hello"))
    text = "".join(chunk.text or "" for chunk in chunks)
    plan.check(f"{model}: a stream has text", bool(text), chunks)
    last = chunks[-1]
    plan.check(f"{model}: the last chunk finishes", last.candidates[0].finish_reason == "STOP", last)
    plan.check(f"{model}: the last chunk states usage", last.usage_metadata.total_token_count > 0, last)


def tools(model):
    config = types.GenerateContentConfig(
        tools=[WEATHER],
        tool_config=FORCED,
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    question = types.Content(role="user", parts=[types.Part(text="Weather?")])
    answer = client().models.generate_content(model=model, contents=[question], config=config)
    calls = answer.function_calls or []
    plan.check(f"{model}: a tool is called", [call.name for call in calls] == ["get_weather"], answer)
    plan.check(f"{model}: with arguments", "city" in calls[0].args, calls)
    result = types.Part.from_function_response(name="get_weather", response={"output": "mild"})
    result.function_response.id = calls[0].id
    history = [question, answer.candidates[0].content, types.Content(role="user", parts=[result])]
    free = types.GenerateContentConfig(tools=[WEATHER])
    after = client().models.generate_content(model=model, contents=history, config=free)
    plan.check(f"{model}: its result is taken", bool(after.text), after)


def others():
    count = client().models.count_tokens(model=given.chat_model, contents="Hello there")
    plan.check("tokens are counted", count.total_tokens > 0, count)
    vectors = client().models.embed_content(model=given.embedding_model, contents=["a", "b"])
    plan.check("texts are embedded", len(vectors.embeddings) == 2, vectors)
    names = [model.name for model in client().models.list()]
    plan.check("models are listed", f"models/{given.chat_model}" in names, names)
    one = client().models.get(model=given.chat_model)
    plan.check("a model is shown", one.name == f"models/{given.chat_model}", one)


def raises(what, status, google, call):
    try:
        answer = call()
    except errors.ClientError as error:
        plan.check(f"{what} has status {status}", error.code == status, error)
        plan.check(f"{what} is {google}", error.status == google, error.status)
        return
    raise SystemExit(f"{what} did not raise: {answer!r}")


def refusals():
    ask = lambda key, model: client(key).models.generate_content(model=model, contents="x")
    raises("a wrong key", 401, "UNAUTHENTICATED", lambda: ask("sk-ym-wrong", given.chat_model))
    raises("an unknown model", 404, "NOT_FOUND", lambda: ask(given.key, "nobody"))
    raises("a spent quota", 403, "PERMISSION_DENIED", lambda: ask(given.spent_key, given.chat_model))
    raises("a rate limit", 429, "RESOURCE_EXHAUSTED", lambda: ask(given.slow_key, given.chat_model))


for model in [given.chat_model, *given.translated]:
    whole(model)
    stream(model)
    tools(model)
others()
refusals()
