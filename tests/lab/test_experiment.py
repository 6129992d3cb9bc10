"""Running and reporting: exact resume, verdicts, the page, the command."""

import pytest
import torch
from click.testing import CliRunner
from matplotlib.figure import Figure
from torch import nn
from torch.nn import functional as F

from resonance.lab import command, experiment, report
from resonance.lab.experiment import Run
from resonance.lab.report import Interval, Report, Row, Verdict, at_most, judge, paired


def run(folder):
    return Run("test", "quick", 2, "cpu", None, None, folder)


def trained(folder, stop=None):
    """Train something with dropout; stop in the middle, if told."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.5), nn.Linear(8, 1))

    def loss(step):
        if step == stop:
            raise KeyboardInterrupt
        torch.manual_seed(step) if step == 0 else None
        x = torch.full((16, 4), float(step % 3))
        return F.mse_loss(model(x), torch.ones(16, 1))

    run(folder).train("x", model, loss, 30, [torch.optim.AdamW(model.parameters(), 0.01)])
    return nn.utils.parameters_to_vector(model.parameters())


def test_interrupted_training_ends_at_the_same_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "CHECKPOINT_STEPS", 10)
    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "cut", stop=17)
    torch.testing.assert_close(trained(tmp_path / "cut"), whole, atol=0, rtol=0)


def test_finished_measurements_are_not_repeated(tmp_path):
    assert run(tmp_path).measure("a", lambda: 1.5) == 1.5
    assert run(tmp_path).measure("a", lambda: 2.5) == 1.5


def test_verdicts_follow_the_interval():
    assert judge(Interval(1.0, 0.5, 1.5), 1.0) == Verdict.HOLDS
    assert judge(Interval(0.1, -0.2, 0.4), 1.0) == Verdict.FAILS
    assert judge(Interval(0.5, -0.5, 1.5), 1.0) == Verdict.OPEN
    assert judge(Interval(-1.0, -1.5, -0.5), -1.0) == Verdict.HOLDS
    assert at_most(Interval(0.1, 0.0, 0.2), 0.3) == Verdict.HOLDS
    assert at_most(Interval(0.5, 0.4, 0.6), 0.3) == Verdict.FAILS
    both = paired([1.0, 2.0, 3.0], [0.5, 1.5, 2.5])
    assert (both.mean, both.low, both.high) == pytest.approx((0.5, 0.5, 0.5))


def test_written_reports_are_listed_and_on_the_page(tmp_path, monkeypatch):
    for name, place in (("FOUND", "found.json"), ("PAGE", "science.md"), ("FIGURES", "science")):
        monkeypatch.setattr(report, name, tmp_path / place)
    row = Row("it works", "somebody", "1", "2", Verdict.FAILS)
    made = Report("It does not.", [row], "How.", "A picture", Figure())
    report.write("kerr", made, "resonance lab kerr", 1.0, command.EXPERIMENTS)
    page = (tmp_path / "science.md").read_text()
    assert "| it works | somebody | 1 | 2 | **does not hold** |" in page
    assert f"estimated: {command.EXPERIMENTS['kerr'].full}" in page, "what a GPU would need"
    assert (tmp_path / "science" / "kerr.png").exists()
    listed = CliRunner().invoke(command.main, [], terminal_width=200)
    assert listed.exit_code == 0
    assert "It does not." in " ".join(listed.output.split())


def test_listing_names_ten_and_a_missing_text_is_asked_for(tmp_path):
    listed = CliRunner().invoke(command.main)
    assert sum(name in listed.output for name in command.EXPERIMENTS) == 10
    failed = CliRunner().invoke(command.main, ["kerr", "--work", str(tmp_path)])
    assert failed.exit_code == 2
    assert "--text" in failed.output
