#!/usr/bin/env python3
"""Runs a NixOS test's script on real systemd in Debian containers: `cargo xtask machines NAME` starts this.

usage: driver.py --test FILE --base DIR --package DIR --work DIR [--keep]

--test is a test's Python file, run unchanged after the words of common.py beside this; a TOML of its name says which
machines there are. --base is an unpacked Debian, --package what exo's package installs, laid over it, and --work an
empty folder for everything else.

The names that a script finds are those of the NixOS manual's chapter on tests, with the same meaning: every machine by
its name, `start_all`, `subtest`, and of each machine the methods of `Machine` below. Machines have the addresses that
they have there too: 192.168.1.1 and so on in the order of their names, on the interface eth1, and find each other by
name. What differs: there is one kernel, so no test of kernel modules, bonds or enforced memory limits runs here.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import traceback
from pathlib import Path
from typing import Callable, Iterator

# Where a container gets a cgroup of its own: both hierarchies of a hybrid host, or the only one.
CGROUPS = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")]
if Path("/sys/fs/cgroup/cgroup.controllers").exists():
    CGROUPS = [Path("/sys/fs/cgroup")]
COMMON = Path(__file__).with_name("common.py")
DEADLINE = 60.0
PERIOD = 0.1
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failure(Exception):
    """A machine did not do what the script says it does."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def host(*command: str, check: bool = True) -> None:
    """Runs a command of this machine that has to succeed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise Failure(f"`{' '.join(command)}` ended with {done.returncode}: {done.stderr.strip()}")


class Network:
    """One bridge; every machine's network namespace hangs on it by a pair of interfaces."""

    def __init__(self, names: list[str]) -> None:
        # Short: a name of an interface has at most 15 characters. The number keeps two runs apart.
        self.run = f"{os.getpid() % 1_000_000:06d}"
        self.bridge = f"xb{self.run}"
        self.places = {name: number for number, name in enumerate(sorted(names), start=1)}

    def address(self, name: str) -> str:
        return f"192.168.1.{self.places[name]}"

    def namespace(self, name: str) -> str:
        return f"exo-{self.run}-{name}"

    def cable(self, name: str) -> str:
        """The host's end of a machine's interface."""
        return f"xv{self.run}-{self.places[name]}"

    def hosts(self) -> str:
        lines = [f"{self.address(name)} {name}" for name in self.places]
        return "\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""])

    def up(self) -> None:
        host("ip", "link", "add", self.bridge, "type", "bridge", "mcast_snooping", "0")
        host("ip", "link", "set", self.bridge, "up")
        for name in self.places:
            namespace, cable = self.namespace(name), self.cable(name)
            host("ip", "netns", "add", namespace)
            host("ip", "link", "add", cable, "type", "veth", "peer", "name", "eth1", "netns", namespace)
            host("ip", "link", "set", cable, "master", self.bridge, "up")
            host("ip", "-n", namespace, "address", "add", f"{self.address(name)}/24", "dev", "eth1")
            host("ip", "-n", namespace, "link", "set", "lo", "up")
            host("ip", "-n", namespace, "link", "set", "eth1", "up")

    def down(self) -> None:
        for name in self.places:
            host("ip", "netns", "delete", self.namespace(name), check=False)
            host("ip", "link", "delete", self.cable(name), check=False)
        host("ip", "link", "delete", self.bridge, check=False)


class Machine:
    """One container: a Debian with exo's package over it, and its own files over both. They outlive a crash."""

    def __init__(self, name: str, description: dict, base: Path, package: Path, work: Path, network: Network) -> None:
        self.name = name
        self.description = description
        self.network = network
        self.folder = work / name
        self.root = self.folder / "root"
        self.layers = [package, base]
        self.console = self.folder / "console"
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0

    # --- life ---

    @property
    def booted(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def start(self) -> None:
        """Boots and waits until systemd has started what it starts. Does nothing if it runs."""
        if self._process is not None:
            return
        if not os.path.ismount(self.root):
            self._unpack()
        arguments = [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=pipe",
            f"--network-namespace-path=/run/netns/{self.network.namespace(self.name)}", "--resolv-conf=off",
            # As in a system of its own, services may confine what they start.
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self", f"--machine={self.name}", f"--directory={self.root}",
        ]
        with open(self.console, "ab") as console:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=self._enter_cgroup
            )
        self._wait("systemd to start", self._find_init)
        self._wait("the boot to end", self._is_up)

    def shutdown(self) -> None:
        """Powers off as a person would, and waits for the end."""
        if self._process is None:
            return
        self.execute("systemctl poweroff --no-block")
        self.wait_for_shutdown()

    def wait_for_shutdown(self) -> None:
        """Waits until it has ended by itself."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            raise Failure(f"{self.name}: is not off after {DEADLINE:.0f} s") from None
        self._process = None

    def crash(self) -> None:
        """Ends the machine as a power cut would. What it wrote to its disk is there at the next start."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init_pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(timeout=DEADLINE)
        self._process = None

    def reboot(self) -> None:
        """Off and on again."""
        self.shutdown()
        self.start()

    def block(self) -> None:
        """Pulls the network cable."""
        host("ip", "link", "set", self.network.cable(self.name), "down")

    def unblock(self) -> None:
        """Puts the network cable back."""
        host("ip", "link", "set", self.network.cable(self.name), "up")

    # --- commands ---

    def execute(self, command: str, check_return: bool = True, check_output: bool = True,
                timeout: float | None = DEADLINE) -> tuple[int, str]:
        """Runs a shell command; its status and its standard output. Errors go to the file `console`."""
        if self._process is None:
            raise Failure(f"{self.name}: is not running: `{command}`")
        arguments = ["nsenter", f"--target={self._init_pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                     "--wd", "--", "/bin/bash", "-c", command]
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}
        with open(self.console, "ab") as console:
            try:
                done = subprocess.run(
                    arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if check_output else console,
                    stderr=console, env=environment, timeout=timeout, check=False,
                )
            except subprocess.TimeoutExpired as error:
                return 124, (error.stdout or b"").decode(errors="replace")
        text = (done.stdout or b"").decode(errors="replace")
        return (done.returncode if check_return else -1), text

    def succeed(self, *commands: str, timeout: float | None = DEADLINE) -> str:
        """Runs commands that have to succeed; their output."""
        output = ""
        for command in commands:
            status, text = self.execute(command, timeout=timeout)
            if status != 0:
                raise Failure(f"{self.name}: `{command}` ended with {status}:\n{text}{self._last_errors()}")
            output += text
        return output

    def fail(self, *commands: str, timeout: float | None = DEADLINE) -> str:
        """Runs commands that have to fail; their output."""
        output = ""
        for command in commands:
            status, text = self.execute(command, timeout=timeout)
            if status == 0:
                raise Failure(f"{self.name}: `{command}` succeeded unexpectedly:\n{text}")
            output += text
        return output

    def wait_until_succeeds(self, command: str, timeout: float = DEADLINE) -> str:
        """Repeats a command until it succeeds; the output of the last try."""
        last = [""]

        def attempt() -> bool:
            status, last[0] = self.execute(command, timeout=timeout)
            return status == 0

        self._wait(f"`{command}` to succeed", attempt, timeout, last)
        return last[0]

    def wait_until_fails(self, command: str, timeout: float = DEADLINE) -> str:
        """Repeats a command until it fails; the output of the last try."""
        last = [""]

        def attempt() -> bool:
            status, last[0] = self.execute(command, timeout=timeout)
            return status != 0

        self._wait(f"`{command}` to fail", attempt, timeout, last)
        return last[0]

    def systemctl(self, query: str) -> tuple[int, str]:
        """Runs systemctl."""
        return self.execute(f"systemctl {query}")

    def get_unit_property(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.succeed(f"systemctl --no-pager show --property={name} --value {unit}").strip()

    def get_unit_info(self, unit: str) -> dict[str, str]:
        """All properties of a unit."""
        lines = self.succeed(f"systemctl --no-pager show {unit}").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def require_unit_state(self, unit: str, require_state: str = "active") -> None:
        """Fails unless the unit is in that state."""
        state = self.get_unit_property(unit, "ActiveState")
        if state != require_state:
            raise Failure(f"{self.name}: {unit} is {state}, not {require_state}")

    def start_job(self, jobname: str) -> tuple[int, str]:
        """systemctl start."""
        return self.systemctl(f"start {jobname}")

    def stop_job(self, jobname: str) -> tuple[int, str]:
        """systemctl stop."""
        return self.systemctl(f"stop {jobname}")

    # --- waiting ---

    def wait_for_unit(self, unit: str, timeout: float = DEADLINE) -> None:
        """Waits until a unit is active; a failed one ends the wait."""

        def is_active() -> bool:
            state = self.execute(f"systemctl show --property=ActiveState --value {unit}")[1].strip()
            if state == "failed":
                log = self.execute(f"journalctl --no-pager --lines=40 --unit={unit}")[1]
                raise Failure(f"{self.name}: {unit} failed:\n{log}")
            return state == "active"

        self._wait(f"{unit} to be active", is_active, timeout)

    def wait_for_open_port(self, port: int, addr: str = "localhost", timeout: float = DEADLINE) -> None:
        """Waits until something takes connections on a TCP port."""
        self.wait_until_succeeds(f"(: </dev/tcp/{addr}/{port}) 2>/dev/null", timeout)

    def wait_for_closed_port(self, port: int, addr: str = "localhost", timeout: float = DEADLINE) -> None:
        """Waits until nothing takes connections on a TCP port any more."""
        self.wait_until_fails(f"(: </dev/tcp/{addr}/{port}) 2>/dev/null", timeout)

    def wait_for_file(self, filename: str, timeout: float = DEADLINE) -> None:
        """Waits until a file is there."""
        self.wait_until_succeeds(f"test -e {filename}", timeout)

    def sleep(self, secs: int) -> None:
        """Lets time pass."""
        time.sleep(secs)

    def log(self, msg: str) -> None:
        """A line of the test's output."""
        say(f"        {self.name}: {msg}")

    def copy_from_host(self, source: str, target: str) -> None:
        """Copies a file or folder of this machine to a path inside."""
        destination = self.root / target.lstrip("/")
        destination.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-r", source, str(destination)], check=True)

    # --- inside ---

    def _unpack(self) -> None:
        """Lays the layers over each other and writes what is this machine's own."""
        upper, scratch = self.folder / "files", self.folder / "scratch"
        for folder in (self.root, upper, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in self.layers)
        layers = f"lowerdir={lower},upperdir={upper},workdir={scratch}"
        host("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        (self.root / "etc/hostname").write_text(f"{self.name}\n")
        (self.root / "etc/hosts").write_text(self.network.hosts())
        # Its own, so that the journal and what derives from it differ between machines.
        (self.root / "etc/machine-id").write_text(f"{os.urandom(16).hex()}\n")
        settings = {"models": {"dirs": ["/usr/share/exo/models"]}}
        for section, values in self.description.get("settings", {}).items():
            settings[section] = {**settings.get(section, {}), **values} if isinstance(values, dict) else values
        configuration = self.root / "etc/exo/exo.toml"
        configuration.parent.mkdir(parents=True, exist_ok=True)
        configuration.write_text(as_toml(settings))
        for name, script in self.description.get("commands", {}).items():
            program = self.root / "usr/local/bin" / name
            program.parent.mkdir(parents=True, exist_ok=True)
            program.write_text(f"#!/bin/sh\nset -eu\n{script}\n")
            program.chmod(0o755)

    def _enter_cgroup(self) -> None:
        for group in self._cgroups():
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _cgroups(self) -> list[Path]:
        return [path / self.network.namespace(self.name) for path in CGROUPS if path.is_dir()]

    def _find_init(self) -> bool:
        assert self._process is not None, "start() made it"
        if self._process.poll() is not None:
            status, self._process = self._process.returncode, None
            raise Failure(f"{self.name}: systemd-nspawn ended with {status}:{self._last_errors()}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._init_pid = int(child)
                    return True
        return False

    def _is_up(self) -> bool:
        return self.execute("systemctl is-system-running")[1].strip() in {"running", "degraded"}

    def _wait(self, what: str, condition: Callable[[], bool], timeout: float = DEADLINE,
              detail: list[str] | None = None) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                last = f":\n{detail[0]}" if detail else ""
                raise Failure(f"{self.name}: waited {timeout:.0f} s for {what}{last}{self._last_errors()}")
            time.sleep(PERIOD)

    def _last_errors(self) -> str:
        if not self.console.exists():
            return ""
        lines = self.console.read_text(errors="replace").splitlines()[-12:]
        return "\n" + "\n".join(f"  | {line}" for line in lines)

    def journal(self) -> str:
        """What exo's services said last, for a test that failed."""
        return self.execute("journalctl --no-pager --lines=120 --unit='exo-*'")[1] if self.booted else ""

    def destroy(self) -> None:
        """Ends the machine and removes its files."""
        self.crash()
        host("umount", "--lazy", str(self.root), check=False)
        for group in self._cgroups():
            for inner in sorted(group.rglob("*"), reverse=True):
                if inner.is_dir():
                    with contextlib.suppress(OSError):
                        inner.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)


def as_toml(settings: dict) -> str:
    """Tables of values; JSON writes texts, numbers, truths and lists of them as TOML does."""
    tops = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)]
    for section, values in settings.items():
        if isinstance(values, dict):
            tops += ["", f"[{section}]"] + [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([*tops, ""])


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
            say(f"  {machine.name} runs on: nsenter --target={machine._init_pid} --all")
    say("  Ctrl-C ends them")
    with contextlib.suppress(KeyboardInterrupt):
        signal.pause()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("test", "base", "package", "work"):
        parser.add_argument(f"--{option}", type=Path, required=True)
    parser.add_argument("--keep", action="store_true", help="leave the machines running after the test")
    arguments = parser.parse_args()
    # An end from outside takes the machines along.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))

    descriptions = tomllib.loads(arguments.test.with_suffix(".toml").read_text())["machines"]
    network = Network(list(descriptions))
    layers = (arguments.base, arguments.package, arguments.work, network)
    machines = [Machine(name, description, *layers) for name, description in descriptions.items()]

    def start_all() -> None:
        for machine in machines:
            machine.start()

    names = {machine.name: machine for machine in machines}
    words = {**names, "machines": machines, "subtest": subtest, "start_all": start_all}
    try:
        network.up()
        for script in (COMMON, arguments.test):
            exec(compile(script.read_text(), str(script), "exec"), words)
    except (Failure, AssertionError) as failure:
        lines = [frame.lineno for frame in traceback.extract_tb(failure.__traceback__)
                 if frame.filename == str(arguments.test)]
        say(f"FAILED  {arguments.test.name}, line {lines[0] if lines else '?'}: {failure or type(failure).__name__}")
        for machine in machines:
            say("\n".join(f"{machine.name} | {line}" for line in machine.journal().splitlines()))
        return 1
    finally:
        if arguments.keep:
            linger(machines)
        for machine in machines:
            machine.destroy()
        network.down()
    return 0


if __name__ == "__main__":
    sys.exit(main())
