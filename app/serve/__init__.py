"""``resonance serve``: denoiser and spotter for other programs, over Wyoming and HTTP."""
