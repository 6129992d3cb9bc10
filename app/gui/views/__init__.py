"""What the window shows: each view is fed by frames and can be run alone on a saved board."""
