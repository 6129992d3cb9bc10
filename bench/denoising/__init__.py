"""What the denoiser does for speech, beside others."""
