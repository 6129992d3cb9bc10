"""``resonance train``."""

from resonance.app.later import programs

train = programs(
    "train",
    {"denoiser": "resonance.models.train_denoiser", "keywords": "resonance.models.train_keywords"},
    "Train a model (needs torch).",
)
