from resonance.app.live.messages import Connection, Keyword, State, StateChange, Warned, as_facts
from resonance.app.spotter import KeywordEvent


def test_messages_for_scripts_keep_their_form():
    connection = Connection("Mic", "Speaker", 48000.0, 480, (0.01, 0.02), 960)
    assert connection.delay_s == 0.05
    listening = StateChange(State.LISTENING, "listening: Mic → Speaker", "b", connection)
    assert as_facts(listening) == {
        "state": "listening",
        "board": "b",
        "input": "Mic",
        "output": "Speaker",
        "samplerate": 48000.0,
        "blocksize": 480,
        "device_latency_s": (0.01, 0.02),
        "latency_samples": 960,
        "bridge_s": 0.0,
        "virtual_mic": "",
        "virtual_speaker": "",
        "text": "listening: Mic → Speaker",
    }
    assert as_facts(StateChange(State.STOPPED, "gone", failed=True)) == {
        "state": "stopped",
        "board": "",
        "failed": True,
        "text": "gone",
    }
    assert as_facts(Warned("howls", "it howls")) == {"warning": "it howls"}
    spotted = Keyword(KeywordEvent(1.0, "stop", 0.9))
    assert as_facts(spotted) == {"time_s": 1.0, "keyword": "stop", "score": 0.9}
