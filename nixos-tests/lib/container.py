"""A machine as a container: systemd-nspawn, with this machine's kernel."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import subprocess
from pathlib import Path

from machine import Machine
from words import LOOK, awake, host

# Where a container gets a cgroup of its own: both hierarchies of a hybrid host, or the only one.
CGROUPS = [Path("/sys/fs/cgroup/systemd"), Path("/sys/fs/cgroup/unified")]
if Path("/sys/fs/cgroup/cgroup.controllers").exists():
    CGROUPS = [Path("/sys/fs/cgroup")]
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Container(Machine):
    """Boots in a second. There is one kernel: no modules, no bonds, no enforced limits."""

    _init_pid = 0

    def plug_in(self) -> None:
        namespace = self.network.title(self.name)
        host("ip", "netns", "add", namespace)
        host("ip", "-n", namespace, "link", "set", "lo", "up")
        for inside, address, cable, bridge in self.network.interfaces(self.name):
            host("ip", "link", "add", cable, "type", "veth", "peer", "name", inside, "netns", namespace)
            host("ip", "link", "set", cable, "master", bridge, "up")
            host("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", inside)
            host("ip", "-n", namespace, "link", "set", inside, "up")

    def unplug(self) -> None:
        host("ip", "netns", "delete", self.network.title(self.name), check=False)
        for _inside, _address, cable, _bridge in self.network.interfaces(self.name):
            host("ip", "link", "delete", cable, check=False)

    def way_in(self) -> str:
        return f"nsenter --target={self._init_pid} --all"

    def destroy(self) -> None:
        super().destroy()
        for group in self._cgroups():
            for inner in sorted(group.rglob("*"), reverse=True):
                if inner.is_dir():
                    with contextlib.suppress(OSError):
                        inner.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()

    def _boot(self) -> subprocess.Popen[bytes]:
        arguments = [
            "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--console=pipe",
            f"--network-namespace-path=/run/netns/{self.network.title(self.name)}", "--resolv-conf=off",
            # As in a system of its own, services may confine what they start.
            "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self",
            f"--machine={self.name}", f"--directory={self.root}",
        ]
        with open(self.console, "ab") as console:
            return subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=self._enter_cgroup
            )

    def _is_reachable(self) -> bool:
        assert self._process is not None, "start() made it"
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        for child in children:
            with contextlib.suppress(OSError):
                if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                    self._init_pid = int(child)
                    return True
        return False

    def _cut_power(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._init_pid, signal.SIGKILL)

    def _run(self, command: str, wants_output: bool, timeout: float | None) -> tuple[int, str]:
        arguments = ["nsenter", f"--target={self._init_pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--root",
                     "--wd", "--", "/bin/bash", "-c", command]
        environment = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root"}
        with open(self.console, "ab") as console:
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if wants_output else console,
                stderr=console, env=environment,
            )
        output, is_late = self._output(process, math.inf if timeout is None else awake() + timeout)
        return 124 if is_late else process.returncode, output.decode(errors="replace")

    def _output(self, process: subprocess.Popen[bytes], end: float) -> tuple[bytes, bool]:
        """What it prints until it ends, and whether it had to be ended."""
        is_late = False
        while True:
            try:
                return process.communicate(timeout=LOOK)[0] or b"", is_late
            except subprocess.TimeoutExpired:
                if awake() > end:
                    is_late = True
                    process.kill()

    def _enter_cgroup(self) -> None:
        for group in self._cgroups():
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(os.getpid()))

    def _cgroups(self) -> list[Path]:
        return [path / self.network.title(self.name) for path in CGROUPS if path.is_dir()]
