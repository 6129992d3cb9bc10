"""What is learned, in torch: the bank, the denoiser, the keyword spotter and their training."""
