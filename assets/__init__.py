"""What ships with the program: models with their cards, and the demo recording."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent
MODELS = ROOT / "models"
DEMO = ROOT / "demo" / "demo.flac"
