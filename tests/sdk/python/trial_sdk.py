"""The official openai package with the key of a trial user."""

import openai

import plan

given = plan.read()


def client(key):
    return openai.OpenAI(base_url=f"{given.url}/v1", api_key=key, max_retries=0, timeout=30)


def ask(key, model):
    messages = [{"role": "user", "content": "Hello"}]
    return client(key).chat.completions.create(model=model, messages=messages)


names = {model.id for model in client(given.key).models.list()}
plan.check("the models of both providers are listed", set(given.models) <= names, names)
for model in given.models:
    answer = ask(given.key, model)
    plan.check(f"{model} answers", bool(answer.choices[0].message.content), answer)
plan.raises(
    "a used-up key",
    openai.PermissionDeniedError,
    403,
    "QUOTA_REQUEST_EXCEEDED",
    lambda: ask(given.key, given.models[0]),
)
plan.raises(
    "a key without tokens",
    openai.PermissionDeniedError,
    403,
    "QUOTA_TOKEN_EXCEEDED",
    lambda: ask(given.spent_key, given.models[0]),
)
plan.raises(
    "an unknown key",
    openai.AuthenticationError,
    401,
    "INVALID_API_KEY",
    lambda: ask("trial_unknown", given.models[0]),
)
