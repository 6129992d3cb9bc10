"""What cleaning files costs, and what becomes of damaged ones."""
