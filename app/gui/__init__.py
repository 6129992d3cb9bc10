"""The window: sees an engine's board, and says what the engine should do."""
