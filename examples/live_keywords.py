"""Clean the microphone and print keywords: python examples/live_keywords.py [SECONDS]."""

import sys
import time
from pathlib import Path

from resonance.app.live.health import health
from resonance.app.live.messages import Keyword, State, StateChange, Warned
from resonance.app.live.session import LiveSession
from resonance.app.live.settings import EngineSettings


def main() -> None:
    seconds = float(sys.argv[1]) if sys.argv[1:] else 60.0
    session = LiveSession(folder=Path())
    session.start(EngineSettings(preset="live", limit_db=24.0))
    end = None  # counted from when it listens
    try:
        while end is None or time.monotonic() < end:
            for report in session.poll():
                match report:
                    case StateChange(state, text):
                        print(f"{state}: {text}")
                        if end is None and state == State.LISTENING:
                            end = time.monotonic() + seconds
                    case Keyword(event):
                        print(f"{event.time_s:8.2f} s  {event.keyword}")
                    case Warned(_, text):
                        print(text, file=sys.stderr)
            time.sleep(0.05)
        if session.board and session.board.blocks.count:
            now = health(session.board.blocks.since())
            print(f"{now.blocks} blocks, {now.lost} lost, load {100 * now.load:.1f} % of a core")
    finally:
        session.close()


if __name__ == "__main__":  # the engine is a process of its own, which imports this file
    main()
