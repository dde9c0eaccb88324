"""The official openai package's Responses against a running gateway."""

import openai

import plan

given = plan.read()

TOOL = {
    "type": "function",
    "name": "get_weather",
    "description": "The weather in a city.",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


def client(key=given.key):
    # No retries: each status is to be seen as it comes.
    return openai.OpenAI(base_url=f"{given.url}/v1", api_key=key, max_retries=0, timeout=30)


def whole(model):
    answer = client().responses.create(model=model, input="Hello", max_output_tokens=64)
    plan.check(f"{model}: a response has text", bool(answer.output_text), answer)
    plan.check(f"{model}: a response is completed", answer.status in ("completed", "incomplete"), answer)
    plan.check(f"{model}: a response states its usage", answer.usage.total_tokens > 0, answer.usage)
    plan.check(f"{model}: a response has an id", answer.id.startswith("resp"), answer.id)


def stream(model):
    kinds, numbers, text = [], [], ""
    for event in client().responses.create(model=model, input="Hello", stream=True):
        kinds.append(event.type)
        numbers.append(event.sequence_number)
        if event.type == "response.output_text.delta":
            text += event.delta
        last = event
    plan.check(f"{model}: a stream begins", kinds[:2] == ["response.created", "response.in_progress"], kinds)
    plan.check(f"{model}: a stream ends", kinds[-1] == "response.completed", kinds)
    plan.check(f"{model}: events are numbered", numbers == list(range(len(numbers))), numbers)
    plan.check(f"{model}: the end repeats the text", last.response.output_text == text, last)
    with client().responses.stream(model=model, input="Hello") as events:
        for _ in events:
            pass
        final = events.get_final_response()
    plan.check(f"{model}: the helper puts it together", final.output_text == text, final)


def tools(model, extra):
    question = [{"role": "user", "content": "Weather?"}]
    answer = client().responses.create(
        model=model, input=question, tools=[TOOL], tool_choice="required", extra_body=extra
    )
    calls = [item for item in answer.output if item.type == "function_call"]
    plan.check(f"{model}: a tool is called", len(calls) == 1, answer)
    plan.check(f"{model}: by its name", calls[0].name == "get_weather", calls)
    result = {"type": "function_call_output", "call_id": calls[0].call_id, "output": "mild"}
    after = client().responses.create(model=model, input=[*question, *answer.output, result], tools=[TOOL])
    plan.check(f"{model}: its result is taken", bool(after.output_text), after)
    kinds = [
        event.type
        for event in client().responses.create(
            model=model, input=question, tools=[TOOL], tool_choice="required", extra_body=extra, stream=True
        )
    ]
    for kind in ("response.output_item.added", "response.function_call_arguments.done"):
        plan.check(f"{model}: a streamed call has {kind}", kind in kinds, kinds)


def refusals():
    responses = lambda key, model: client(key).responses.create(model=model, input="x")
    plan.raises(
        "a wrong key", openai.AuthenticationError, 401, "INVALID_API_KEY",
        lambda: responses("sk-ym-wrong", given.chat_model),
    )
    plan.raises(
        "an unknown model", openai.NotFoundError, 404, "MODEL_NOT_FOUND",
        lambda: responses(given.key, "nobody"),
    )
    plan.raises(
        "an unknown response", openai.NotFoundError, 404, "NOT_FOUND",
        lambda: client().responses.retrieve("resp_nothing"),
    )
    plan.raises(
        "an unknown previous response", openai.BadRequestError, 400, "INVALID_REQUEST",
        lambda: client().responses.create(model=given.chat_model, input="x", previous_response_id="resp_no"),
    )


whole(given.chat_model)
stream(given.chat_model)
tools(given.chat_model, {"x_demo": {"tool": "get_weather"}})
for translated in given.translated:
    whole(translated)
    stream(translated)
    tools(translated, None)
refusals()
