"""What the parts of the driver share: a failure, a clock, a line of output, a command of this machine."""

from __future__ import annotations

import subprocess
import sys
import threading
import time


# Seconds between two looks at the clock, while something else is waited for.
LOOK = 0.5


class Failure(Exception):
    """A machine did not do what the script says it does."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def host(*command: str, check: bool = True) -> None:
    """Runs a command of this machine that has to succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Failure(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")


class Awake(threading.Thread):
    """Counts the seconds that this machine had for the driver, and deadlines are measured by them: who stops the driver,
    and with it its machines, uses up nobody's patience, and on a busy host everything may take as much longer as a
    little work takes that is done again and again."""

    TICK = 0.5
    # Seconds of a processor.
    WORK = 0.005

    def __init__(self) -> None:
        super().__init__(name="awake", daemon=True)
        self.seconds = 0.0
        self.start()

    def run(self) -> None:
        while True:
            time.sleep(self.TICK)
            begin, worked = time.monotonic(), time.thread_time()
            while time.thread_time() - worked < self.WORK:
                pass
            self.seconds += self.TICK * min(1.0, self.WORK / (time.monotonic() - begin))


_awake = Awake()


def awake() -> float:
    """Seconds since the driver began, without those in which this machine had no time for it."""
    return _awake.seconds
