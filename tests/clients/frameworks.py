"""LangChain and LiteLLM as clients of a running gateway: each reads a file by a tool, streamed and whole.

Started with {"url", "key", "model"}; prints one JSON line for each client that told the word in the file.
"""

import json
import os
import sys
from importlib.metadata import version

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
given = json.loads(sys.argv[1])
URL, KEY, MODEL = given["url"], given["key"], given["model"]
QUESTION = "Read the file and tell the word in it."


def read_file(path: str) -> str:
    """Reads a file."""
    with open(path, encoding="utf-8") as file:
        return file.read()


def langchain(model):
    from langchain_core.messages import HumanMessage, ToolMessage
    from langchain_core.tools import tool

    bound = model.bind_tools([tool(read_file)])
    texts = []
    for stream in (False, True):
        messages = [HumanMessage(QUESTION)]
        for _ in range(3):
            if stream:
                answer = None
                for chunk in bound.stream(messages):
                    answer = chunk if answer is None else answer + chunk
            else:
                answer = bound.invoke(messages)
            messages.append(answer)
            if not answer.tool_calls:
                break
            for call in answer.tool_calls:
                messages.append(ToolMessage(read_file(**call["args"]), tool_call_id=call["id"]))
        texts.append(str(answer.text))
    return texts


def litellm(model, **where):
    from litellm import completion, stream_chunk_builder

    schema = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
    function = {"name": "read_file", "description": "Reads a file.", "parameters": schema}
    asked = {"model": model, "tools": [{"type": "function", "function": function}], "api_key": KEY, **where}
    texts = []
    for stream in (False, True):
        messages = [{"role": "user", "content": QUESTION}]
        for _ in range(3):
            answer = completion(messages=messages, stream=stream, **asked)
            if stream:
                answer = stream_chunk_builder(list(answer), messages=messages)
            message = answer.choices[0].message
            messages.append(message.model_dump(exclude_none=True))
            if not message.tool_calls:
                break
            for call in message.tool_calls:
                said = read_file(**json.loads(call.function.arguments))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": said})
        texts.append(message.content)
    return texts


def report(client, package, dialect, texts):
    for text in texts:
        if "xyzzy-4711" not in text:
            raise SystemExit(f"{client} ({dialect}): {texts!r}")
    told = {"client": client, "version": version(package), "dialect": dialect, "texts": texts}
    print(json.dumps(told), flush=True)


def main():
    from langchain_anthropic import ChatAnthropic
    from langchain_openai import ChatOpenAI

    chat = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=KEY, max_retries=0)
    report("LangChain", "langchain-openai", "openai_chat", langchain(chat))
    responses = ChatOpenAI(model=MODEL, base_url=f"{URL}/v1", api_key=KEY, use_responses_api=True, max_retries=0)
    report("LangChain", "langchain-openai", "openai_responses", langchain(responses))
    messages = ChatAnthropic(model=MODEL, base_url=URL, api_key=KEY, max_tokens=1000, max_retries=0)
    report("LangChain", "langchain-anthropic", "anthropic_messages", langchain(messages))
    report("LiteLLM", "litellm", "openai_chat", litellm(f"openai/{MODEL}", api_base=f"{URL}/v1"))
    report("LiteLLM", "litellm", "anthropic_messages", litellm(f"anthropic/{MODEL}", api_base=URL))


main()
