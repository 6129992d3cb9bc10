"""OpenAI's own client against a real server."""

import socket
import time

import openai
import pytest

from resonance.lab.server import LARGEST, Running, untrained


@pytest.fixture(scope="module")
def server():
    with Running(untrained(), token="secret") as running:
        yield running


@pytest.fixture
def client(server):
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0)


def test_model_is_listed(client):
    assert [model.id for model in client.models.list()] == ["resonance"]


def test_stream_and_whole_are_the_same_text(client):
    asked = {"model": "resonance", "prompt": "the quick", "max_tokens": 20, "seed": 5}
    whole = client.completions.create(**asked)
    events = list(client.completions.create(**asked, stream=True))
    assert "".join(event.choices[0].text for event in events) == whole.choices[0].text
    assert events[-1].choices[0].finish_reason == whole.choices[0].finish_reason == "length"
    assert len(events) > 5


def test_chat_streams(client):
    messages = [{"role": "user", "content": "fox?"}]
    asked = {"model": "resonance", "messages": messages, "max_tokens": 10, "seed": 1}
    whole = client.chat.completions.create(**asked).choices[0].message.content
    events = client.chat.completions.create(**asked, stream=True)
    assert "".join(event.choices[0].delta.content for event in events) == whole


def test_stop_words_end_the_text_and_are_not_in_it(client):
    asked = {"model": "resonance", "prompt": "the", "max_tokens": 40, "seed": 2}
    free = client.completions.create(**asked).choices[0].text
    stop = free[10:13]
    for stream in (False, True):
        answer = client.completions.create(**asked, stop=stop, stream=stream)
        events = list(answer) if stream else [answer]
        assert "".join(event.choices[0].text for event in events) == free[: free.index(stop)]
        assert events[-1].choices[0].finish_reason == "stop"


def test_wrong_tokens_are_refused_but_health_needs_none(server):
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError, match="token"):
        stranger.models.list()
    assert stranger.get(f"{server.url}/health", cast_to=object)["status"] == "ok"


@pytest.mark.parametrize(
    "wrong", [{"max_tokens": 0}, {"temperature": 5.0}, {"top_p": "much"}, {"stop": [""]}]
)
def test_what_is_out_of_range_is_said(client, wrong):
    with pytest.raises(openai.BadRequestError, match=next(iter(wrong))):
        client.completions.create(model="resonance", prompt="x", extra_body=wrong)


def test_oversize_is_refused(client):
    with pytest.raises(openai.APIStatusError) as refused:
        client.completions.create(model="resonance", prompt="x" * (LARGEST + 1))
    assert refused.value.status_code == 413


def test_client_that_leaves_frees_the_server(server, client):
    asked = b'{"prompt": "the", "max_tokens": 4096, "stream": true}'
    head = (
        "POST /v1/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
        f"Content-Length: {len(asked)}\r\n\r\n"
    )
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as left:
        left.sendall(head.encode() + asked)
        assert left.recv(100)
    began = time.monotonic()
    client.completions.create(model="resonance", prompt="the", max_tokens=2)
    assert time.monotonic() - began < 20.0
