#!/usr/bin/env python3
"""Runs a NixOS test's script on real systemd in Debian machines: `cargo xtask machines NAME` starts this.

usage: driver.py --test FILE --base DIR --package DIR --work DIR [--virtual] [--keep]

--test is a test's Python file, run unchanged after the words of common.py beside this; a TOML of its name says which
machines there are. --base is an unpacked Debian, --package what exo's package installs, laid over it, and --work an
empty folder for everything else. Machines are containers, or with --virtual virtual machines.

The names that a script finds are those of the NixOS manual's chapter on tests, with the same meaning: every machine by
its name, `start_all`, `subtest`, and of each machine the methods of `Machine` in machine.py. Machines have the addresses
that they have there too: 192.168.1.1 and so on in the order of their names, on the interface eth1, and find each other
by name.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import time
import tomllib
import traceback
from pathlib import Path
from typing import Iterator

from container import Container
from machine import Machine
from network import Network
from virtual import VirtualMachine
from words import Failure, awake, say

COMMON = Path(__file__).with_name("common.py")


@contextlib.contextmanager
def subtest(name: str) -> Iterator[None]:
    """A named part of a script, with its time."""
    begin = time.monotonic()
    yield
    say(f"  ok    {name} ({time.monotonic() - begin:.1f} s)")


def linger(machines: list[Machine]) -> None:
    """Leaves the machines to a person until Ctrl-C."""
    for machine in machines:
        if machine.booted:
            say(f"  {machine.name} runs on: {machine.way_in()}")
    say("  Ctrl-C ends them")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("test", "base", "package", "work"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--virtual", action="store_true", help="virtual machines instead of containers")
    parser.add_argument("--keep", action="store_true", help="leave the machines running after the test")
    arguments = parser.parse_args()
    # An end from outside takes the machines along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    descriptions = tomllib.loads(arguments.test.with_suffix(".toml").read_text())["machines"]
    network = Network({name: description.get("vlans", [1]) for name, description in descriptions.items()})
    kind = VirtualMachine if arguments.virtual else Container
    layers = (arguments.base, arguments.package, arguments.work, network)
    machines: list[Machine] = [kind(name, description, *layers) for name, description in descriptions.items()]

    def start_all() -> None:
        """All at once, as far as this machine's processors go."""
        off = [machine for machine in machines if not machine.booted]
        for machine in off:
            machine.switch_on()
        for machine in off:
            machine.wait_for_boot()

    names = {machine.name: machine for machine in machines}
    words = {**names, "machines": machines, "subtest": subtest, "start_all": start_all}
    words |= {"SLOWNESS": kind.slowness, "awake": awake}
    try:
        network.up()
        for machine in machines:
            machine.plug_in()
        for script in (COMMON, arguments.test):
            exec(compile(script.read_text(), str(script), "exec"), words)
    except (Failure, AssertionError) as failure:
        lines = [frame.lineno for frame in traceback.extract_tb(failure.__traceback__)
                 if frame.filename == str(arguments.test)]
        say(f"FAILED  {arguments.test.name}, line {lines[0] if lines else '?'}: {failure or type(failure).__name__}")
        for machine in machines:
            with contextlib.suppress(Failure):
                say("\n".join(f"{machine.name} | {line}" for line in machine.journal().splitlines()))
        return 1
    finally:
        if arguments.keep:
            linger(machines)
        # Whoever is impatient now would leave machines behind.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for machine in machines:
            machine.destroy()
        network.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
