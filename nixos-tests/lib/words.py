"""What the parts of the driver share: a failure, a line of output, a command of this machine."""

from __future__ import annotations

import subprocess
import sys


class Failure(Exception):
    """A machine did not do what the script says it does."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def host(*command: str, check: bool = True) -> None:
    """Runs a command of this machine that has to succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Failure(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")
