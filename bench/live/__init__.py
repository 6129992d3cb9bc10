"""What live sound costs and survives."""
