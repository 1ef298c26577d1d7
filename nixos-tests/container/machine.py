"""A machine in a container: real systemd over Debian, with the NixOS test driver's words.

The words (`succeed`, `wait_for_unit`, `crash` …) and their meaning are those of the NixOS manual's chapter on tests,
so that one script runs against a NixOS virtual machine and against this.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

# Where a container gets a cgroup of its own: both hierarchies of a hybrid host, or the only one.
CGROUPS = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")]
if Path("/sys/fs/cgroup/cgroup.controllers").exists():
    CGROUPS = [Path("/sys/fs/cgroup")]
DEADLINE = 60.0


class Failure(Exception):
    """A machine did not do what the script says it does."""


class Machine:
    """One container, started from a directory that holds its root file system."""

    def __init__(self, name: str, root: Path) -> None:
        self.name = name
        self.root = root
        self._process: subprocess.Popen[bytes] | None = None
        self._init_pid = 0

    @property
    def runs(self) -> bool:
        """Whether it was started and not ended."""
        return self._process is not None

    # --- life ---

    def start(self) -> None:
        """Boots and waits until systemd answers."""
        if self._process is not None:
            return
        arguments = [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot",
            "--console=pipe", f"--machine={self.name}", f"--directory={self.root}",
        ]
        console = open(self.root.with_suffix(".console"), "wb")
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=self._enter_cgroup
        )
        console.close()
        self._wait("systemd to start", self._find_init)
        self._wait("the boot to end", self._is_up)

    def shutdown(self) -> None:
        """Powers off as a person would, and waits for the end."""
        if self._process is None:
            return
        self.execute("systemctl poweroff --no-block")
        self._process.wait(timeout=DEADLINE)
        self._process = None

    def crash(self) -> None:
        """Ends the machine as a power cut would."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init_pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(timeout=DEADLINE)
        self._process = None

    # --- commands ---

    def execute(self, command: str, timeout: float = DEADLINE) -> tuple[int, str]:
        """Runs a shell command; its status and its output, errors included."""
        arguments = ["nsenter", f"--target={self._init_pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                     "--wd", "--", "/bin/sh", "-c", command]
        environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        try:
            done = subprocess.run(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, env=environment, timeout=timeout, check=False)
        except subprocess.TimeoutExpired as error:
            return 124, (error.stdout or b"").decode(errors="replace")
        return done.returncode, done.stdout.decode(errors="replace")

    def succeed(self, *commands: str, timeout: float = DEADLINE) -> str:
        """Runs commands that have to succeed; their output."""
        output = ""
        for command in commands:
            status, text = self.execute(command, timeout)
            if status != 0:
                raise Failure(f"{self.name}: `{command}` ended with {status}:\n{text}")
            output += text
        return output

    def fail(self, *commands: str, timeout: float = DEADLINE) -> str:
        """Runs commands that have to fail; their output."""
        output = ""
        for command in commands:
            status, text = self.execute(command, timeout)
            if status == 0:
                raise Failure(f"{self.name}: `{command}` succeeded unexpectedly:\n{text}")
            output += text
        return output

    def wait_until_succeeds(self, command: str, timeout: float = DEADLINE) -> str:
        """Repeats a command until it succeeds."""
        last = [""]

        def attempt() -> bool:
            status, last[0] = self.execute(command, timeout)
            return status == 0

        self._wait(f"`{command}` to succeed", attempt, timeout, last)
        return last[0]

    def wait_until_fails(self, command: str, timeout: float = DEADLINE) -> None:
        """Repeats a command until it fails."""
        self._wait(f"`{command}` to fail", lambda: self.execute(command, timeout)[0] != 0, timeout)

    def wait_for_unit(self, unit: str, timeout: float = DEADLINE) -> None:
        """Waits until a unit is active; a failed one ends the wait."""

        def is_active() -> bool:
            state = self.execute(f"systemctl show --property=ActiveState --value {unit}")[1].strip()
            if state == "failed":
                log = self.execute(f"journalctl --no-pager --lines=40 --unit={unit}")[1]
                raise Failure(f"{self.name}: {unit} failed:\n{log}")
            return state == "active"

        self._wait(f"{unit} to be active", is_active, timeout)

    def wait_for_open_port(self, port: int, timeout: float = DEADLINE) -> None:
        """Waits until something listens on a TCP port."""
        probe = f"ss --listening --tcp --numeric --no-header 'sport = :{port}' | grep -q ."
        self.wait_until_succeeds(probe, timeout)

    # --- inside ---

    def _enter_cgroup(self) -> None:
        for hierarchy in (path for path in CGROUPS if path.is_dir()):
            group = hierarchy / f"exo-test-{self.name}"
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _find_init(self) -> bool:
        assert self._process is not None, "start() made it"
        if self._process.poll() is not None:
            console = self.root.with_suffix(".console").read_text(errors="replace")
            raise Failure(f"{self.name}: systemd-nspawn ended with {self._process.returncode}:\n{console}")
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._init_pid = int(child)
                    return True
        return False

    def _is_up(self) -> bool:
        return self.execute("systemctl is-system-running")[1].strip() in {"running", "degraded"}

    def _wait(self, what: str, condition, timeout: float = DEADLINE, detail: list[str] | None = None) -> None:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                last = f":\n{detail[0]}" if detail else ""
                raise Failure(f"{self.name}: waited {timeout:.0f} s for {what}{last}")
            time.sleep(0.1)

    def destroy(self) -> None:
        """Ends the machine and removes its files."""
        self.crash()
        for hierarchy in (path for path in CGROUPS if path.is_dir()):
            group = hierarchy / f"exo-test-{self.name}"
            for inner in sorted(group.rglob("*"), reverse=True):
                if inner.is_dir():
                    with contextlib.suppress(OSError):
                        inner.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.root, ignore_errors=True)
