"""What people run: inference, the streaming pipeline, files, live sound and the command line."""

__version__ = "0.1.0"
