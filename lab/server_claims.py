"""Whether OpenAI's own client can talk to the server of an oscillator model."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from resonance.lab import oscillator_language
from resonance.lab.experiment import Run
from resonance.lab.oscillator_language import OscillatorLanguageModel
from resonance.lab.report import Report, Row, Verdict, tally
from resonance.lab.server import Running, Speaker


def untrained(vocabulary_of: str = "the quick brown fox jumps over the lazy dog. ") -> Speaker:
    """A small model that has learned nothing: enough to speak the protocol."""
    from resonance.lab.text import pieces

    torch.manual_seed(0)
    tokenizer = pieces(vocabulary_of * 20, 300).tokenizer
    model = OscillatorLanguageModel(
        oscillator_language.Config(tokenizer.get_vocab_size(), 16, 2, 4)
    ).eval()
    return Speaker(model, tokenizer)


def run(run: Run) -> Report:
    """A real server and OpenAI's own client."""
    found = run.measure("client", _exchange)
    each_ms = 1000 * np.array(found["gaps_s"])
    rows = [
        Row(
            "Any OpenAI client can talk to it: models, completions, chat, streams, errors",
            "kerr-server",
            "stated",
            f"{found['passed']} of {found['tried']} exchanges with the "
            f"`openai` client {found['version']}",
            Verdict.HOLDS if found["passed"] == found["tried"] else Verdict.FAILS,
        ),
        Row(
            "Text streams token by token",
            "kerr-server",
            "stated",
            f"{len(each_ms)} events, {np.median(each_ms):.1f} ms apart",
            Verdict.HOLDS if len(each_ms) > 20 else Verdict.FAILS,
        ),
    ]
    figure = Figure((6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(each_ms, ".")
    axes.set(xlabel="event", ylabel="time since the one before / ms", ylim=(0, None))
    return Report(f"{tally(rows)}.", rows, NOTES, "When the events of one stream arrived.", figure)


def _exchange() -> dict[str, Any]:
    import openai

    passed: list[bool] = []
    with Running(untrained(), token="secret") as server:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0)
        passed.append(client.models.list().data[0].id == "resonance")
        whole = client.completions.create(model="resonance", prompt="the ", max_tokens=8, seed=1)
        again = client.completions.create(model="resonance", prompt="the ", max_tokens=8, seed=1)
        passed.append(whole.choices[0].text == again.choices[0].text)
        messages: Sequence[Any] = [{"role": "user", "content": "fox?"}]
        chat = client.chat.completions.create(model="resonance", messages=messages, max_tokens=8)
        passed.append(chat.choices[0].message.role == "assistant")
        stream = client.completions.create(
            model="resonance", prompt="the ", max_tokens=60, seed=2, stream=True
        )
        times, parts = [time.perf_counter()], []
        for event in stream:
            parts.append(event.choices[0].text)
            times.append(time.perf_counter())
        passed.append(bool("".join(parts)))
        for broken in ({"max_tokens": 0}, {"temperature": 9.0}):
            try:
                client.completions.create(model="resonance", prompt="x", **broken)  # type: ignore[call-overload]
                passed.append(False)
            except openai.BadRequestError:
                passed.append(True)
        try:
            openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0).models.list()
            passed.append(False)
        except openai.AuthenticationError:
            passed.append(True)
    return {
        "passed": sum(passed),
        "tried": len(passed),
        "version": openai.__version__,
        "gaps_s": np.diff(times).tolist(),
    }


NOTES = """\
A small untrained model, so the words mean nothing; the protocol is what is tested. `resonance lab
serve CHECKPOINT` serves what `resonance lab language` or `memory` trained, the latter with its wave
memory by `--memory FILE`."""
