"""What a script can ask of a machine, however that machine is made."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Callable

from network import Network
from words import Failure, awake, host, say

DEADLINE = 60.0
PERIOD = 0.1


class Machine(ABC):
    """A Debian with exo's package over it, and its own files over both. They outlive a crash."""

    # How much longer everything may take than on the machine that this runs on.
    slowness = 1.0

    def __init__(self, name: str, description: dict, base: Path, package: Path, work: Path, network: Network) -> None:
        self.name = name
        self.description = description
        self.network = network
        self.folder = work / name
        self.root = self.folder / "root"
        self.layers = [package, base]
        self.console = self.folder / "console"
        self._process: subprocess.Popen[bytes] | None = None
        self._was_up = False

    # --- what differs ---

    @abstractmethod
    def plug_in(self) -> None:
        """Connects the machine to its networks, before its first start."""

    @abstractmethod
    def unplug(self) -> None:
        """Takes back what `plug_in` made."""

    @abstractmethod
    def way_in(self) -> str:
        """How a person gets a shell in the running machine."""

    @abstractmethod
    def _boot(self) -> subprocess.Popen[bytes]:
        """Starts the process that is the machine."""

    @abstractmethod
    def _is_reachable(self) -> bool:
        """Whether commands can be run inside."""

    @abstractmethod
    def _cut_power(self) -> None:
        """Ends what runs inside at once."""

    @abstractmethod
    def _run(self, command: str, wants_output: bool, timeout: float | None) -> tuple[int, str]:
        """Runs a shell command inside; 124 is the status of one that took too long."""

    # --- life ---

    @property
    def booted(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    def start(self) -> None:
        """Boots and waits until systemd has started what it starts. Does nothing if it runs."""
        if self._process is None:
            self.switch_on()
            self.wait_for_boot()

    def switch_on(self) -> None:
        """Begins to boot."""
        if not os.path.ismount(self.root):
            self._unpack()
        self._process = self._boot()

    def wait_for_boot(self) -> None:
        """Waits until systemd has started what it starts."""
        self._wait("the machine to be reachable", self._comes_up)
        self._wait("the boot to end", self._is_up)
        self._was_up = True

    def shutdown(self) -> None:
        """Powers off as a person would, and waits for the end."""
        if self._process is None:
            return
        self.execute("systemctl poweroff --no-block")
        self.wait_for_shutdown()

    def wait_for_shutdown(self) -> None:
        """Waits until it has ended by itself."""
        process = self._process
        if process is None:
            return
        self._wait("the machine to be off", lambda: process.poll() is not None)
        self._process = None

    def crash(self) -> None:
        """Ends the machine as a power cut would. What it wrote to its disk is there at the next start."""
        if self._process is None:
            return
        self._cut_power()
        self._process.kill()
        self._process.wait(timeout=DEADLINE)
        self._process = None

    def reboot(self) -> None:
        """Off and on again."""
        self.shutdown()
        self.start()

    def block(self) -> None:
        """Pulls the network cables."""
        for _inside, _address, cable, _bridge in self.network.interfaces(self.name):
            host("ip", "link", "set", cable, "down")

    def unblock(self) -> None:
        """Puts the network cables back."""
        for _inside, _address, cable, _bridge in self.network.interfaces(self.name):
            host("ip", "link", "set", cable, "up")

    # --- commands ---

    def execute(self, command: str, check_return: bool = True, check_output: bool = True,
                timeout: float | None = DEADLINE) -> tuple[int, str]:
        """Runs a shell command; its status and its standard output. Errors go to the file `console`."""
        if self._process is None:
            raise Failure(f"{self.name}: is not running: `{command}`")
        limit = None if timeout is None else timeout * self.slowness
        status, text = self._run(command, check_output, limit)
        return (status if check_return else -1), text

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

    # --- inside ---

    def _unpack(self) -> None:
        """Lays the layers over each other and writes what is this machine's own."""
        upper, scratch = self.folder / "files", self.folder / "scratch"
        for folder in (self.root, upper, scratch):
            folder.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in self.layers)
        layers = f"lowerdir={lower},upperdir={upper},workdir={scratch}"
        host("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        self._write("/etc/hostname", f"{self.name}\n")
        self._write("/etc/hosts", self.network.hosts())
        # Its own, so that the journal and what derives from it differ between machines.
        self._write("/etc/machine-id", f"{os.urandom(16).hex()}\n")
        settings = {"models": {"dirs": ["/usr/share/exo/models"]}}
        for section, values in self.description.get("settings", {}).items():
            settings[section] = {**settings.get(section, {}), **values} if isinstance(values, dict) else values
        self._write("/etc/exo/exo.toml", as_toml(settings))
        for name, script in self.description.get("commands", {}).items():
            self._write(f"/usr/local/bin/{name}", f"#!/bin/sh\nset -eu\n{script}\n", 0o755)
        for path, text in self.description.get("files", {}).items():
            self._write(path, text)

    def _write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def _comes_up(self) -> bool:
        assert self._process is not None, "start() made it"
        if self._process.poll() is not None:
            status, self._process = self._process.returncode, None
            raise Failure(f"{self.name}: ended with {status} while it started:{self._last_errors()}")
        return self._is_reachable()

    def _is_up(self) -> bool:
        return self.execute("systemctl is-system-running")[1].strip() in {"running", "degraded"}

    def _wait(self, what: str, condition: Callable[[], bool], timeout: float = DEADLINE,
              detail: list[str] | None = None) -> None:
        limit = timeout * self.slowness
        end = awake() + limit
        while not condition():
            if awake() > end:
                last = f":\n{detail[0]}" if detail else ""
                raise Failure(f"{self.name}: waited {limit:.0f} s for {what}{last}{self._last_errors()}")
            time.sleep(PERIOD)

    def _last_errors(self) -> str:
        if not self.console.exists():
            return ""
        lines = self.console.read_text(errors="replace").splitlines()[-12:]
        return "\n" + "\n".join(f"  | {line}" for line in lines)

    def journal(self) -> str:
        """What exo's services said last, for a test that failed."""
        if not (self.booted and self._was_up):
            return ""
        return self.execute("journalctl --no-pager --lines=120 --unit='exo-*'")[1]

    def destroy(self) -> None:
        """Ends the machine and removes its files."""
        self.crash()
        host("umount", "--lazy", str(self.root), check=False)
        self.unplug()
        shutil.rmtree(self.folder, ignore_errors=True)


def as_toml(settings: dict) -> str:
    """Tables of values; JSON writes texts, numbers, truths and lists of them as TOML does."""
    tops = [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)]
    for section, values in settings.items():
        if isinstance(values, dict):
            tops += ["", f"[{section}]"] + [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([*tops, ""])
