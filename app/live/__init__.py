"""Live sound: an engine between microphone and loudspeaker, and what it shows and takes."""
