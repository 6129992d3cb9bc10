"""Which devices are taken when some are missing, and when two clocks need a bridge."""

import threading

import pytest

from resonance.app import devices, pulse
from resonance.app.devices import Device, find_route, find_stand_ins
from resonance.app.errors import DeviceError

BUILT_IN = Device("Built-in", "ALSA", 2, 2, 48000.0, True, True)
HEADSET_OUT = Device("Headset", "ALSA", 0, 2, 48000.0)
HEADSET = Device("Headset", "ALSA", 1, 2, 48000.0)


def test_only_the_end_that_vanished_is_replaced():
    """A headset whose microphone is gone still gets the sound: not the room's loudspeakers."""
    route, gone = find_stand_ins([BUILT_IN, HEADSET_OUT], ("Headset", "Headset"))
    assert (route.input, route.output) == (BUILT_IN, HEADSET_OUT)
    assert gone == ["Headset"]


def test_both_ends_of_one_device_are_missed_once():
    route, gone = find_stand_ins([BUILT_IN], ("Headset", "Headset"))
    assert (route.input, route.output) == (BUILT_IN, BUILT_IN)
    assert gone == ["Headset"]


def test_a_fixed_end_has_no_stand_in():
    with pytest.raises(DeviceError, match="Headset"):
        find_stand_ins([BUILT_IN], ("Headset", None), (True, False))


def test_two_default_devices_have_two_clocks():
    mic = Device("USB microphone", "Core Audio", 1, 0, 48000.0, True, False)
    speakers = Device("Speakers", "Core Audio", 0, 2, 48000.0, False, True)
    assert not find_route([mic, speakers], None, None).one_clock
    assert find_route([BUILT_IN], None, None).one_clock
    assert find_route([BUILT_IN, HEADSET], "Headset", "Headset").one_clock


def test_a_microphone_that_is_gone_is_not_replaced_by_what_is_played():
    def end(name, inputs, outputs, server_name):
        host, default = pulse.HOST_API, (bool(inputs), bool(outputs))
        return Device(name, host, inputs, outputs, 48000.0, *default, server_name)

    monitor = end("Monitor of Headset", 1, 0, "headset.monitor")
    found = [end("Headset", 0, 2, "headset"), monitor]
    with pytest.raises(DeviceError, match="no input device is called 'Headset'"):
        find_route(found, "Headset", "Headset")
    with pytest.raises(DeviceError, match="no input device but the output's own monitor"):
        find_route(found, None, None)
    assert find_route(found, "monitor of head", None).input == monitor, "if it is asked for"


def test_ends_of_the_sound_server_share_the_clock_of_their_card():
    def end(name, inputs, outputs, card):
        return Device(name, pulse.HOST_API, inputs, outputs, 48000.0, server_name=name, card=card)

    found = [end("mic", 1, 0, 0), end("out", 0, 2, 0), end("usb", 0, 2, 1)]
    assert find_route(found, "mic", "out").one_clock
    assert not find_route(found, "mic", "usb").one_clock


def test_devices_are_not_refreshed_while_a_stream_is_opened(monkeypatch):
    class Library:
        PortAudioError = OSError
        refreshed = threading.Event()

        def _terminate(self):
            self.refreshed.set()

        def _initialize(self):
            pass

    library = Library()
    monkeypatch.setattr(devices, "sounddevice", lambda: library)
    with devices.OPENING:
        refreshing = threading.Thread(target=devices.refresh)
        refreshing.start()
        assert not library.refreshed.wait(0.2)
    refreshing.join()
    assert library.refreshed.is_set()
