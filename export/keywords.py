"""Export a trained spotter: ``python -m export.keywords --checkpoint FILE --out DIR``."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn

from dsp.bank import broad_bank
from dsp.features import FORMAT_VERSION, LOG_OFFSET, LOG_SCALE, POWER_FLOOR, band_pooling
from export.onnx_file import (
    check_close,
    export_onnx,
    git_revision,
    open_session,
    write_card,
    write_metadata,
)
from models import keywords
from models.keywords import CORE_WORDS, STRIDE, KeywordSpotter

OUTPUTS = ["logits", "embedding", "settled", "anchors", "order"]


class WindowModel(nn.Module):
    """One window per call, with what the view shows."""

    def __init__(self, model: KeywordSpotter) -> None:
        super().__init__()
        self.model = model

    def forward(self, window: Tensor) -> tuple[Tensor, ...]:
        """Window [1, frames, bands] → the tensors named in OUTPUTS."""
        logits, embedding, view = self.model.explain(window)
        return logits, embedding, view.settled, view.anchors + 0.0, view.order


def prove(model: KeywordSpotter, path: Path) -> dict[str, float]:
    """Largest difference of the logits between torch and the file; raises if too large."""
    config, session = model.config, open_session(path)
    rng = np.random.default_rng(0)
    worst = 0.0
    for _ in range(50):
        window = rng.normal(0.0, 1.0, (1, config.frames, config.bands)).astype(np.float32)
        with torch.no_grad():
            expected = model(torch.from_numpy(window)).numpy()
        worst = max(
            worst, float(np.abs(session.run(["logits"], {"window": window})[0] - expected).max())
        )
    check_close("logits of torch and ONNX", worst)
    return {"torch_and_onnx_logits": worst}


def metadata(model: KeywordSpotter, scores: dict[str, Any], data: str) -> dict[str, Any]:
    """What the application checks and uses."""
    config, bank = model.config, broad_bank()
    return {
        "format_version": FORMAT_VERSION,
        "kind": "keywords",
        "labels": list(config.labels),
        "words": len(CORE_WORDS),
        "hop_s": config.frame_s / 2,
        "frame_s": config.frame_s,
        "frames": config.frames,
        "bands": config.bands,
        "stride": STRIDE,
        "f0_hz": bank.f0_hz.tolist(),
        "damping_ratio": bank.damping_ratio.tolist(),
        "pooling": band_pooling(bank, config.bands).tolist(),
        "feature_normalisation": [POWER_FLOOR, LOG_OFFSET, LOG_SCALE],
        "thresholds": scores.get("thresholds", {}),
        "git_revision": git_revision(),
        "training_data": data,
        "scores": scores,
    }


@click.command(context_settings={"show_default": True})
@click.option("--checkpoint", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              required=True, help="best.pt of a training run.")  # fmt: skip
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True)
@click.option("--scores", type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="JSON written by python -m bench.keywords --scores.")  # fmt: skip
@click.option("--data", required=True, help="One line on the training data, for the card.")
def main(checkpoint: Path, out: Path, scores: Path | None, data: str) -> None:
    """Export the spotter with metadata and card; fail if it differs from torch."""
    model, saved = keywords.load(checkpoint)
    measured = json.loads(scores.read_text()) if scores else {"dev": saved.get("scores", {})}
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out) as aside:
        path = Path(aside) / "keywords.onnx"
        window = torch.zeros(1, model.config.frames, model.config.bands)
        export_onnx(WindowModel(model), {"window": window}, OUTPUTS, path)
        differences = prove(model, path)
        write_metadata(path, metadata(model, measured, data))
        os.replace(path, out / path.name)
    click.echo(json.dumps(differences))
    card = {
        "kind": "keywords", "labels": list(model.config.labels),
        "parameters": sum(p.numel() for p in model.parameters()), "training_data": data,
        "command": f"python -m export.keywords --checkpoint {checkpoint.name}",
        "scores": measured, "parity": differences,
    }  # fmt: skip
    click.echo(str(write_card(out / "keywords.onnx", card)))


if __name__ == "__main__":
    main()
