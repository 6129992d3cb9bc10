"""OpenAI's own client against a real server."""

import socket
import time

import click
import openai
import pytest
import torch

from resonance.lab import text
from resonance.lab.server import LARGEST, Running, Speaker, load
from resonance.lab.server_claims import untrained
from resonance.lab.wave_memory import Config, KerrCharacters, WaveMemory
from resonance.models.training import save_model


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


@pytest.fixture(scope="module")
def kerr(tmp_path_factory):
    """Checkpoint of a small untrained model that can remember."""
    torch.manual_seed(0)
    content = text.characters("the quick brown fox jumps over the lazy dog. " * 20)
    model = KerrCharacters(Config(content.vocabulary, width=16, layers=3, maestro=2, block=16))
    path = tmp_path_factory.mktemp("kerr") / "kerr.pt"
    save_model(model, path, tokenizer=content.tokenizer.to_str())
    return path


def test_wave_memory_is_read_and_written_by_every_whole_answer(kerr, tmp_path):
    """It changes what is said, outlives the server, and is left alone by answers broken off."""
    file, asked = tmp_path / "a.kwmf", {"model": "kerr", "prompt": "the", "max_tokens": 30}

    def answers(speaker, count):
        with Running(speaker) as running:
            client = openai.OpenAI(base_url=f"{running.url}/v1", api_key="none", max_retries=0)
            said = [client.completions.create(**asked, seed=1) for _ in range(count)]
            with client.completions.create(**asked, seed=1, stream=True) as broken_off:
                next(iter(broken_off))
            client.completions.create(**asked, seed=1, stop="zz")
        return [one.choices[0].text for one in said]

    plain = answers(Speaker(*load(kerr)), 2)
    assert plain[0] == plain[1]
    assert answers(Speaker(*load(kerr), file), 2)[0] == plain[0], "nothing remembered yet"
    memory = WaveMemory.load(file)
    assert memory.state.shape == (2, 8)
    assert memory.conversations in (3, 4), "two, one that may have been whole, one"
    memory.alpha = 50.0
    memory.save(file)
    assert answers(Speaker(*load(kerr), file), 1)[0] != plain[0]
    assert WaveMemory.load(file).conversations > memory.conversations


def test_a_memory_of_another_model_is_refused(kerr, tmp_path):
    WaveMemory.empty(3, 64).save(tmp_path / "other.kwmf")
    with pytest.raises(click.ClickException, match="3 layers of 64 bands, the model has 2 of 8"):
        Speaker(*load(kerr), tmp_path / "other.kwmf")
    with pytest.raises(click.ClickException, match="no Kerr oscillators"):
        Speaker(untrained().model, None, tmp_path / "new.kwmf")
