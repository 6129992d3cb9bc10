"""What people run: inference, the streaming pipeline, files, live sound and the command line."""
