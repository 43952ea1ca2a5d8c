"""Drives the gateway with the official clients and curl; any answer that is another than documented ends it."""

import json
import os
import subprocess
import sys

import anthropic
import openai

BASE = sys.argv[1]
TOKEN = os.environ["GATEWAY_TOKEN"]
PING = [{"role": "user", "content": "ping"}]


def check(what, got, wanted):
    print(f"  {what}: {got}")
    if got != wanted:
        sys.exit(f"{what}: {got!r} where {wanted!r} was expected")


def refused(what, kind, ask, status, error_type):
    try:
        ask()
    except kind as error:
        body = error.body.get("error", error.body) if isinstance(error.body, dict) else {}
        check(what, (type(error).__name__, error.status_code, body.get("type")), (kind.__name__, status, error_type))
        return error
    sys.exit(f"{what}: was answered")


def with_openai():
    client = openai.OpenAI(base_url=f"{BASE}/v1", api_key=TOKEN, max_retries=0)
    create = client.chat.completions.create
    check("models.list", [model.id for model in client.models.list()], ["openclaw", "openclaw/default", "openclaw/main"])
    check("models.retrieve", client.models.retrieve("openclaw/main").owned_by, "openclaw")

    answer = create(model="openclaw", messages=PING)
    choice = answer.choices[0]
    check("create", (choice.message.content, choice.finish_reason), ("pong to 'ping' of 1", "stop"))
    check("usage", (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens), (5, 1, 6))

    raw = client.chat.completions.with_raw_response.create(model="openclaw", messages=PING)
    named = [raw.headers.get(f"x-openclaw-{name}") for name in ("provider", "model")]
    check("who answered", named, ["acme", "m1"])

    chunks = list(create(model="openclaw", messages=PING, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    ends = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices and chunk.choices[0].finish_reason]
    check("create(stream)", (text, ends), ("pong to 'ping' of 1", ["stop"]))

    for wanted in ("pong to 'ping' of 1", "pong to 'ping' of 3"):
        answer = create(model="openclaw", messages=PING, user="alice")
        check("create(user)", answer.choices[0].message.content, wanted)
    answer = create(model="openclaw", messages=PING, user="bob")
    check("create(another user)", answer.choices[0].message.content, "pong to 'ping' of 1")

    for profile in ("acme:a", "acme:b"):
        headers = {"x-openclaw-auth-profile": profile}
        raw = client.chat.completions.with_raw_response.create(model="openclaw", messages=PING, extra_headers=headers)
        check("create(auth-profile)", profile in raw.headers.get("x-openclaw-auth-source"), True)
    headers = {"x-openclaw-model": "cobalt/m1"}
    raw = client.chat.completions.with_raw_response.create(model="openclaw", messages=PING, extra_headers=headers)
    check("create(other model)", raw.headers.get("x-openclaw-provider"), "cobalt")

    limited = {"x-openclaw-auth-profile": "acme:limited"}
    for stream in (False, True):
        ask = lambda: create(model="openclaw", messages=PING, extra_headers=limited, stream=stream)
        error = refused("create(limited)", openai.RateLimitError, ask, 429, "rate_limit")
        check("retry-after", 1 <= int(error.response.headers["retry-after"]) <= 31, True)
    broke = {"x-openclaw-auth-profile": "acme:broke"}
    refused("create(no credit)", openai.APIStatusError,
            lambda: create(model="openclaw", messages=PING, extra_headers=broke), 402, "billing")
    refused("create(unknown model)", openai.BadRequestError,
            lambda: create(model="gpt-5", messages=PING), 400, "invalid_request_error")
    wrong = openai.OpenAI(base_url=f"{BASE}/v1", api_key="sk-test-wrong", max_retries=0)
    refused("wrong key", openai.AuthenticationError,
            lambda: wrong.chat.completions.create(model="openclaw", messages=PING), 401, "unauthorized")


def with_anthropic():
    client = anthropic.Anthropic(base_url=BASE, api_key=TOKEN, max_retries=0)
    ask = {"model": "cobalt/m1", "max_tokens": 100, "messages": PING}
    message = client.messages.create(**ask)
    check("messages.create", (message.content[0].text, message.stop_reason), ("pong to 'ping' of 1", "end_turn"))
    check("usage", (message.usage.input_tokens, message.usage.output_tokens), (5, 1))
    with client.messages.stream(**ask) as stream:
        text = "".join(stream.text_stream)
        check("messages.stream", (text, stream.get_final_message().stop_reason), ("pong to 'ping' of 1", "end_turn"))
    bearer = anthropic.Anthropic(base_url=BASE, auth_token=TOKEN, api_key=None, max_retries=0)
    check("auth_token", bearer.messages.create(**ask).content[0].text, "pong to 'ping' of 1")
    limited = {"x-openclaw-auth-profile": "cobalt:limited"}
    refused("messages.create(limited)", anthropic.RateLimitError,
            lambda: client.messages.create(**ask, extra_headers=limited), 429, "rate_limit_error")
    refused("unknown model", anthropic.NotFoundError,
            lambda: client.messages.create(**{**ask, "model": "nobody-has-this"}), 404, "not_found_error")
    wrong = anthropic.Anthropic(base_url=BASE, api_key="sk-test-wrong", max_retries=0)
    refused("wrong key", anthropic.AuthenticationError, lambda: wrong.messages.create(**ask), 401, "authentication_error")


def curl(path, headers, body):
    arguments = ["curl", "-sS", "-N", "-w", "\n%{http_code}", BASE + path, "-d", json.dumps(body)]
    for name, value in headers.items():
        arguments += ["-H", f"{name}: {value}"]
    text, status = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout.rsplit("\n", 1)
    return int(status), text


def with_curl():
    bearer, body = {"Authorization": f"Bearer {TOKEN}"}, {"messages": PING}
    status, text = curl("/v1/chat/completions", bearer, body)
    check("chat", (status, json.loads(text)["choices"][0]["message"]["content"]), (200, "pong to 'ping' of 1"))
    status, text = curl("/v1/chat/completions", bearer, {**body, "stream": True})
    check("chat, stream", (status, text.rstrip().endswith("data: [DONE]")), (200, True))
    status, text = curl("/v1/chat/completions", {}, body)
    check("chat without a key", (status, json.loads(text)["error"]["type"]), (401, "unauthorized"))
    body = {"model": "cobalt/m1", "max_tokens": 100, "messages": PING}
    key = {"x-api-key": TOKEN, "anthropic-version": "2023-06-01"}
    status, text = curl("/v1/messages", key, body)
    check("messages", (status, json.loads(text)["content"][0]["text"]), (200, "pong to 'ping' of 1"))
    status, text = curl("/v1/messages", key, {**body, "stream": True})
    check("messages, stream", (status, text.rstrip().endswith('data: {"type":"message_stop"}')), (200, True))


for name, run in (("openai " + openai.__version__, with_openai), ("anthropic " + anthropic.__version__, with_anthropic),
                  ("curl", with_curl)):
    print(name)
    run()
