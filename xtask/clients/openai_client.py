"""OpenAI's Python client against a running exo: chat, stream, tools, structured output, log probabilities, completions,
models, error classes.

usage: openai_client.py BASE_URL
"""

import json
import math
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


CORES = {"type": "integer", "minimum": 1, "maximum": 64}
# The model has a small context: its tool is small too.
TOOL = {
    "type": "function",
    "function": {"name": "add_node", "parameters": {"type": "object", "properties": {"cores": CORES}, "required": ["cores"],
                                                    "additionalProperties": False}},
}
NODE = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "cores": CORES},
    "required": ["name", "cores"],
    "additionalProperties": False,
}


def is_node(value):
    return set(value) == {"name", "cores"} and len(value["name"]) <= 12 and 1 <= value["cores"] <= 64


def tools(client):
    create = client.chat.completions.create
    answer = create(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice="required", temperature=1, seed=1,
                    parallel_tool_calls=False)
    choice = answer.choices[0]
    check("a required call is the reason to end", choice.finish_reason == "tool_calls", choice)
    call = choice.message.tool_calls[0]
    check("one call, of the tool", len(choice.message.tool_calls) == 1 and call.function.name == "add_node", choice)
    arguments = json.loads(call.function.arguments)
    check("its arguments fit the schema", set(arguments) == {"cores"} and 1 <= arguments["cores"] <= 64, call)
    turns = QUESTION + [
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "added"},
    ]
    after = create(model=MODEL, messages=turns, tools=[TOOL], temperature=0, max_tokens=8)
    check("the result of a call goes on", after.usage.completion_tokens > 0, after)
    named = {"type": "function", "function": {"name": "add_node"}}
    chunks = list(create(model=MODEL, messages=QUESTION, tools=[TOOL], tool_choice=named, temperature=1, seed=2, stream=True))
    calls = [call for chunk in chunks for call in chunk.choices[0].delta.tool_calls or []]
    check("streamed calls have ids and places", calls and all(call.id and call.index == 0 for call in calls[:1]), chunks)
    check("and end the stream so", chunks[-1].choices[0].finish_reason == "tool_calls", chunks[-1])
    plain = create(model=MODEL, messages=QUESTION, temperature=0, tools=[TOOL], tool_choice="none")
    check("no call where none is wanted", not plain.choices[0].message.tool_calls, plain)


def structured(client):
    create = client.chat.completions.create
    schema = {"name": "node", "strict": True, "schema": NODE}
    for seed in range(3):
        answer = create(model=MODEL, messages=QUESTION, temperature=1.5, seed=seed,
                        response_format={"type": "json_schema", "json_schema": schema})
        content = answer.choices[0].message.content
        check(f"seed {seed} fits the schema", is_node(json.loads(content)), content)
    grammar = {"type": "grammar", "syntax": "regex", "definition": "(yes|no), [a-z]{3}!"}
    answer = create(model=MODEL, messages=QUESTION, temperature=1, extra_body={"response_format": grammar})
    content = answer.choices[0].message.content
    check("a regular expression holds", content[:2] in ("ye", "no") and content.endswith("!"), content)
    bad = {"type": "grammar", "syntax": "regex", "definition": "("}
    right, detail = raises(openai.BadRequestError,
                           lambda: create(model=MODEL, messages=QUESTION, extra_body={"response_format": bad}))
    check("a bad grammar is a bad request", right, detail)


def likelihoods(client):
    answer = client.chat.completions.create(
        model=MODEL, messages=QUESTION, temperature=0, max_tokens=6, logprobs=True, top_logprobs=3
    )
    content = answer.choices[0].logprobs.content
    text = "".join(entry.token for entry in content)
    check("the tokens are the text", text == answer.choices[0].message.content, text)
    check("greedy takes the likeliest", all(entry.top_logprobs[0].token == entry.token for entry in content), content)
    check("they are probabilities", all(0 < math.exp(entry.logprob) <= 1.0001 for entry in content), content)


def completions(client):
    create = client.completions.create
    answer = create(model=MODEL, prompt="exo is", temperature=0, max_tokens=5, echo=True, logprobs=None)
    check("a completion begins with its prompt", answer.choices[0].text.startswith("exo is"), answer)
    chunks = list(create(model=MODEL, prompt="exo is", temperature=0, max_tokens=5, stream=True))
    text = "exo is" + "".join(chunk.choices[0].text for chunk in chunks)
    check("streamed, it says the same", text == answer.choices[0].text, text)
    scored = create(model=MODEL, prompt="exo is", temperature=0, max_tokens=5, logprobs=2)
    check("a completion tells likelihoods", len(scored.choices[0].logprobs.token_logprobs) <= 5, scored)


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
    tools(client)
    structured(client)
    likelihoods(client)
    completions(client)
    models(client)
    errors(client)


if __name__ == "__main__":
    main()
