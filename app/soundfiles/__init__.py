"""Sound files: one reader, one writer, and what a file says beside its sound."""
