"""Lasting settings: found, checked, named when wrong, kept with their comments."""

import tomllib

import pytest
from click.testing import CliRunner

from resonance.app import config
from resonance.app.cli import main
from resonance.app.errors import UserError


@pytest.fixture
def file(tmp_path, monkeypatch):
    path = tmp_path / "settings" / "config.toml"
    monkeypatch.setenv("RESONANCE_CONFIG", str(path))
    return path


def write(file, text):
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def test_without_a_file_nothing_is_set(file):
    assert config.load(main) == {}
    assert config.devices(main) == {}
    assert "no settings yet" in CliRunner().invoke(main, ["config"]).output


def test_options_of_commands_get_other_defaults(file, tmp_path, demo):
    write(file, '[denoise]\nlimit-db = 12\n[live]\nrun = ["stop=true"]\nvirtual-mic = true\n')
    loaded = config.load(main)
    assert loaded["denoise"] == {"limit_db": 12}
    assert loaded["live"] == {"run": ["stop=true"], "virtual_mic": True}
    write(file, '[denoise]\npreset = "nowhere"\n')
    result = CliRunner().invoke(main, ["denoise", "x.wav", "-o", str(tmp_path)])
    assert "preset 'nowhere' is not shipped" in result.stderr, "the file counts"
    result = CliRunner().invoke(main, ["denoise", "x.wav", "-o", str(tmp_path), "--preset", "live"])
    assert "nowhere" not in result.stderr, "the command line goes before it"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[dnoise]\n", "no table [dnoise]; there are: gui, live, denoise"),
        ("[live]\ninptu = 1\n", "[live] has no setting 'inptu'; there are: input"),
        ("[denoise]\nlimit-db = 999\n", "limit-db = 999"),
        ('[live]\nblock-ms = "soon"\n', "block-ms = 'soon'"),
        ("preset = 1\n", "no table [preset]"),
        ("live = 1\n", "is outside of a table"),
        ("[live\n", "cannot be read"),
        ("[spot]\noutput = 1\n", "[spot] has no setting 'output'"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(file, text, complaint):
    write(file, text)
    result = CliRunner().invoke(main, ["devices"])
    assert result.exit_code == 1
    assert str(file) in result.stderr.replace("\n", "")
    assert complaint in result.stderr


def test_devices_have_presets_of_their_own(file):
    write(file, '[device."USB Microphone"]\npreset = "studio"\nblock-ms = 5\n')
    assert config.devices(main) == {"USB Microphone": {"preset": "studio", "block_ms": 5}}
    write(file, '[device."USB Microphone"]\nvolume = 11\n')
    with pytest.raises(UserError, match="no setting 'volume'; there are: preset"):
        config.devices(main)


@pytest.mark.parametrize("setting", ["preset = 'nowhere'", "block-ms = 9000", "channel = 0"])
def test_a_wrong_setting_of_a_device_is_told_before_it_is_plugged_in(file, setting):
    write(file, f'[device."USB Microphone"]\n{setting}\n')
    result = CliRunner().invoke(main, ["live", "--no-spot"])
    assert result.exit_code == 1
    assert f'[device."USB Microphone"] {setting}' in result.stderr


def test_a_new_file_explains_every_setting_and_sets_none(file):
    assert CliRunner().invoke(main, ["config", "--init"]).exit_code == 0
    text = file.read_text()
    assert "# limit-db =" in text
    assert "Largest attenuation in dB" in text
    assert "[live]" in text
    assert all(not table for table in tomllib.loads(text).values())
    config.load(main)
    assert CliRunner().invoke(main, ["config", "--init"]).exit_code == 0
    assert file.read_text() == text, "nothing is said twice"
    commented = [line for line in text.splitlines() if " = " in line and line.startswith("# ")]
    for line in commented:  # each example is one that loads, once filled in
        assert not line.startswith("# as-json")


def test_explanations_are_added_to_a_file_that_says_something(file):
    write(
        file,
        "# mine\n[denoise]\nlimit-db = 12 # soft\n\n[window]\ntheme = 'dark'\n\n"
        "[device.\"USB Microphone\"]\npreset = 'studio'\n",
    )
    result = CliRunner().invoke(main, ["config", "--init"])
    assert result.exit_code == 0, result.output
    text = file.read_text()
    assert text.startswith("# mine\n[denoise]\nlimit-db = 12 # soft\n")
    assert text.count("limit-db = 12") == 1
    assert '# preset = "studio"' in text.split("[window]")[0], "the other settings of denoise"
    assert "# virtual-mic = false" in text
    assert config.window() == {"theme": "dark"}
    assert config.load(main)["denoise"] == {"limit_db": 12}
    assert config.devices(main) == {"USB Microphone": {"preset": "studio"}}
    CliRunner().invoke(main, ["config", "--init"])
    assert file.read_text() == text


def test_explanations_are_not_added_to_a_file_that_is_wrong(file):
    write(file, "[live\n")
    assert CliRunner().invoke(main, ["config", "--init"]).exit_code == 1
    assert file.read_text() == "[live\n"


def test_what_the_window_keeps_leaves_the_rest_alone(file):
    write(file, "# mine\n[denoise]\nlimit-db = 12 # soft\n")
    config.keep_window({"theme": "dark", "input": None, "width": 1280})
    assert config.window() == {"theme": "dark", "width": 1280}
    assert file.read_text().startswith("# mine\n[denoise]\nlimit-db = 12 # soft\n")
    config.keep_window({"theme": "light"})
    assert config.window() == {"theme": "light"}
    assert config.load(main) == {"denoise": {"limit_db": 12}}
    assert [path.name for path in file.parent.iterdir()] == ["config.toml"]


def test_comments_in_the_windows_table_stay(file):
    write(file, "[window]\n# dark at night\ntheme = 'dark'\ntab = 1 # files\nspot = 1\n")
    config.keep_window({"theme": "dark", "tab": 2, "spot": True})
    assert file.read_text() == (
        "[window]\n# dark at night\ntheme = 'dark'\ntab = 2 # files\nspot = true\n"
    )
