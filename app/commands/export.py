"""``resonance export``."""

from resonance.app.later import programs

export = programs(
    "export",
    {"denoiser": "resonance.export.denoiser", "keywords": "resonance.export.keywords"},
    "Export a trained model (needs torch).",
)
