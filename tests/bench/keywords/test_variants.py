"""Variants are trained once each, on nested groups of speakers, and counted into tables."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch

from bench.keywords import variants
from bench.keywords.variants import ATTENTION, EXPLORED, SHIPPED, Variant
from resonance.models.data import Recording
from resonance.models.keyword_data import Examples
from resonance.models.keyword_mixing import Batch


def test_smaller_shares_of_speakers_are_parts_of_larger_ones():
    recordings = [
        Recording(Path(f"{kind}-{split}-{n}"), kind, split, "" if n % 3 else f"s{n}")
        for kind in ("keyword", "speech", "noise")
        for split in ("train", "dev")
        for n in range(300)
    ]
    eighth, half, whole = (
        set(variants.some_speakers(recordings, share)) for share in (1 / 8, 1 / 2, 1.0)
    )
    assert eighth < half < whole == set(recordings)
    for found, share in ((eighth, 1 / 8), (half, 1 / 2)):
        words = sum(r.kind == "keyword" and r.split == "train" for r in found)
        assert words / 300 == np.clip(words / 300, share - 0.06, share + 0.06)
        assert sum(r.split == "dev" or r.kind == "noise" for r in found) == 1200


def test_every_variant_differs_from_the_shipped_shape():
    shapes = {variant.name: vars(variant.model().config) for variant in EXPLORED}
    shipped = vars(ATTENTION[0].model().config)
    assert ATTENTION[0].name == SHIPPED
    for name, shape in shapes.items():
        assert sum(shape[key] != shipped[key] for key in shape) == 1, name


class TinyMaterial:
    """Random examples instead of sounds."""

    words = SimpleNamespace(types={"a": 0, "b": 1})

    def composer(self, number, hard):
        frames, labels = torch.randn(8, 82, 40), torch.randint(0, 31, (8,))
        batch = Batch(frames, labels, torch.randint(0, 2, (8,)))
        return SimpleNamespace(batch=lambda rng: batch)


class TinyData:
    """A few random clips."""

    dev = noisy = Examples(torch.randn(12, 94, 40), torch.arange(12))
    work = Path("nowhere")

    def material(self, share):
        return TinyMaterial(), round(8 * share)


def test_what_is_finished_is_not_trained_again(tmp_path, monkeypatch):
    monkeypatch.setattr(variants, "STEPS", 8)
    path = tmp_path / "variants.jsonl"
    small = {"width": 8, "channels": (2, 2, 2), "heads": 2, "layers": 1}
    two = [Variant("a", 2, small), Variant("b", 1, small, speakers=0.5)]
    order = []
    for variant, seed in variants.remaining(two, path):
        order.append((variant.name, seed))
        result = variants.trained(variant, seed, TinyData())
        with path.open("a") as file:
            file.write(json.dumps(result) + "\n")
    assert order == [("a", 0), ("b", 0), ("a", 1)]
    assert list(variants.remaining(two, path)) == []
    results = variants.read(path)
    assert [r["speakers"] for r in results] == [8, 4, 8]
    first, second = variants.rows(["a", "missing", "b"], results)
    assert first[:3] == ("a", str(results[0]["parameters"]), "2")
    assert "±" in first[3]
    assert "±" not in second[3]
