"""OpenAI's Python client against a running exo: chat, stream, models, error classes.

usage: openai_client.py BASE_URL
"""

import sys

import openai

MODEL = "exo-guide"
QUESTION = [{"role": "user", "content": "What is exo?"}]


def check(name, condition, detail=""):
    if not condition:
        sys.exit(f"FAILED {name}: {detail}")
    print(f"  ok    {name}")


def raises(kind, call):
    try:
        call()
    except openai.APIError as error:
        return isinstance(error, kind), repr(error)
    return False, "nothing was raised"


def chat(client):
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    choice = answer.choices[0]
    check("chat answers", "cluster" in choice.message.content, choice.message.content)
    check("chat says why it ended", choice.finish_reason == "stop", choice.finish_reason)
    total = answer.usage.prompt_tokens + answer.usage.completion_tokens
    check("chat counts tokens", answer.usage.total_tokens == total > 0, answer.usage)
    short = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, max_tokens=3)
    check("max_tokens ends with length", short.choices[0].finish_reason == "length", short)
    return choice.message.content


def stream(client, whole):
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=QUESTION, temperature=0, stream=True, stream_options=options
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    check("the stream says what the answer said", text == whole, text)
    check("chunks are chunks", all(chunk.object == "chat.completion.chunk" for chunk in chunks), chunks[0])
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    check("one finish reason, at the end", ends[-1] == "stop" and not any(ends[:-1]), ends)
    check("usage comes last", chunks[-1].usage is not None and not chunks[-1].choices, chunks[-1])


def leaving(client):
    running = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0, stream=True)
    next(iter(running))
    running.close()
    answer = client.chat.completions.create(model=MODEL, messages=QUESTION, temperature=0)
    check("after a client left the next is served", answer.choices[0].finish_reason == "stop", answer)


def models(client):
    names = [model.id for model in client.models.list()]
    check("the model is listed", MODEL in names, names)


def errors(client):
    create = client.chat.completions.create
    cases = [
        ("unknown model", openai.NotFoundError, lambda: create(model="no-such-model", messages=QUESTION)),
        ("no messages", openai.BadRequestError, lambda: create(model=MODEL, messages=[])),
        ("temperature out of range", openai.BadRequestError,
         lambda: create(model=MODEL, messages=QUESTION, temperature=9)),
        ("prompt longer than the context", openai.BadRequestError,
         lambda: create(model=MODEL, messages=[{"role": "user", "content": "exo " * 20000}])),
        ("unknown route", openai.NotFoundError, lambda: client.post("/no/such/route", cast_to=object)),
    ]
    for name, kind, call in cases:
        right, detail = raises(kind, call)
        check(f"{name}: {kind.__name__}", right, detail)


def main():
    client = openai.OpenAI(base_url=sys.argv[1], api_key="none", timeout=60, max_retries=0)
    whole = chat(client)
    stream(client, whole)
    leaving(client)
    models(client)
    errors(client)


if __name__ == "__main__":
    main()
