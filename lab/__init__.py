"""The laboratory: published oscillator systems, working, and commands that settle their claims."""
