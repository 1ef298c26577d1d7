"""A machine as a virtual one: QEMU, with Debian's kernel."""

from __future__ import annotations

import base64
import math
import os
import socket
import subprocess

from machine import Machine
from words import LOOK, Failure, awake, host

MEMORY = "1536"
DISK = "4G"
# The names of interfaces are those that NixOS's tests have. Nothing is defended inside, which would be emulated too.
KERNEL = (
    "boot=exo-test console=ttyS0 net.ifnames=0 mitigations=off nokaslr no_timer_check panic=1 quiet"
    " systemd.show_status=no"
)
# A machine's time goes on with what it computes, 4 ns for an instruction, and only while it idles with the host's: on a busy
# host it is slow, but no timer of its kernel or its services goes off before they had their turn.
CLOCK = "shift=2"
# Without the firmware that would look for a network to boot from.
CARD = "virtio-net-pci,romfile="
# Inside, systemd starts this when the port is there; it runs what comes in, line by line, and answers in one line.
SHELL = """#!/bin/bash
export LANG=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /
exec 3<>/dev/virtio-ports/shell
while true; do
  # Nobody is connected: a read ends at once.
  if ! read -r -u 3 limit command; then sleep 0.2; continue; fi
  output=$(timeout --kill-after=5 "$limit" bash -c "$(base64 -d <<<"$command")" 3>&- </dev/null 2>/dev/console \\
    | base64 --wrap=0; exit "${PIPESTATUS[0]}")
  echo "$? $output" >&3
done
"""
UNIT = """[Unit]
Description=Runs what the driver of the test asks for
BindsTo=dev-virtio\\x2dports-shell.device
After=dev-virtio\\x2dports-shell.device

[Service]
ExecStart=/usr/local/lib/exo-test/shell
# What a command leaves running runs on.
KillMode=process
"""
CABLE = """[Match]
Name={interface}

[Network]
Address={address}/24
"""
UNITS = "/etc/systemd/system"


class VirtualMachine(Machine):
    """Has a kernel of its own: modules, bonds, limits that are enforced. Without KVM it is many times slower."""

    slowness = 10.0
    _line: socket.socket | None = None

    def plug_in(self) -> None:
        for _inside, _address, cable, bridge in self.network.interfaces(self.name):
            host("ip", "tuntap", "add", cable, "mode", "tap")
            host("ip", "link", "set", cable, "master", bridge, "up")

    def unplug(self) -> None:
        for _inside, _address, cable, _bridge in self.network.interfaces(self.name):
            host("ip", "link", "delete", cable, check=False)

    def way_in(self) -> str:
        return f"its console is {self.console}; --keep leaves no shell in a virtual machine"

    def _unpack(self) -> None:
        super()._unpack()
        self._write("/usr/local/lib/exo-test/shell", SHELL, 0o755)
        self._write(f"{UNITS}/exo-test-shell.service", UNIT)
        self._want("multi-user.target", f"{UNITS}/exo-test-shell.service")
        for service in ("systemd-networkd", "systemd-networkd-wait-online"):
            self._want("network-online.target", f"/usr/lib/systemd/system/{service}.service")
        self._want("multi-user.target", "/usr/lib/systemd/system/systemd-networkd.service")
        # Last, so that a machine may say something else of its interfaces.
        for inside, address, _cable, _bridge in self.network.interfaces(self.name):
            self._write(f"/etc/systemd/network/90-{inside}.network", CABLE.format(interface=inside, address=address))
        disk = self.folder / "disk"
        host("truncate", f"--size={DISK}", str(disk))
        host("mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", str(disk))

    def _want(self, target: str, unit: str) -> None:
        link = self.root / UNITS.lstrip("/") / f"{target}.wants" / os.path.basename(unit)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(unit)

    def _boot(self) -> subprocess.Popen[bytes]:
        port = self.folder / "shell"
        port.unlink(missing_ok=True)
        arguments = [
            "qemu-system-x86_64", "-accel", "tcg,thread=single", "-icount", CLOCK, "-machine", "q35", "-cpu", "max",
            "-m", MEMORY, "-nodefaults", "-nographic", "-no-reboot", "-serial", f"file:{self.console}",
            "-kernel", str(self.root / "vmlinuz"), "-initrd", str(self.root / "initrd.img"),
            "-append", KERNEL,
            "-virtfs", f"local,path={self.root},mount_tag=root,security_model=none,readonly=on,multidevs=remap",
            "-drive", f"file={self.folder / 'disk'},if=virtio,format=raw,cache=unsafe",
            "-device", "virtio-rng-pci", "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=shell,path={port},server=on,wait=off",
            "-device", "virtserialport,chardev=shell,name=shell",
            # eth0 leads nowhere, as in NixOS's tests it leads to the host.
            "-netdev", "user,id=none,restrict=on", "-device", f"{CARD},netdev=none,mac={self._mac(0)}",
        ]
        for number, (inside, _address, cable, _bridge) in enumerate(self.network.interfaces(self.name), start=1):
            arguments += ["-netdev", f"tap,id={inside},ifname={cable},script=no,downscript=no"]
            arguments += ["-device", f"{CARD},netdev={inside},mac={self._mac(number)}"]
        with open(self.folder / "qemu", "ab") as output:
            return subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=output)

    def _mac(self, number: int) -> str:
        return f"52:54:00:12:{self.network.places[self.name]:02x}:{number:02x}"

    def _is_reachable(self) -> bool:
        if self._line is None:
            line = socket.socket(socket.AF_UNIX)
            try:
                line.connect(str(self.folder / "shell"))
            except OSError:
                line.close()
                return False
            self._line = line
            # It is answered as soon as the shell listens.
            line.sendall(self._request("true", None))
        status = self._answer(0.5)
        return status is not None

    def _cut_power(self) -> None:
        self._hang_up()

    def wait_for_shutdown(self) -> None:
        super().wait_for_shutdown()
        self._hang_up()

    def _hang_up(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def _run(self, command: str, wants_output: bool, timeout: float | None) -> tuple[int, str]:
        if self._line is None:
            raise Failure(f"{self.name}: is not reachable: `{command}`")
        try:
            self._line.sendall(self._request(command, timeout))
        except ConnectionError:
            raise Failure(f"{self.name}: is off: `{command}`{self._last_errors()}") from None
        # The limit is kept inside; this is for a machine that hangs as a whole.
        answer = self._answer(None if timeout is None else timeout + 60)
        if answer is None:
            # What would be answered next belongs to this command.
            self._hang_up()
            raise Failure(f"{self.name}: does not answer: `{command}`{self._last_errors()}")
        status, text = answer
        return status, text if wants_output else ""

    def _request(self, command: str, timeout: float | None) -> bytes:
        limit = "0" if timeout is None else f"{timeout:.1f}"
        return f"{limit} {base64.b64encode(command.encode()).decode()}\n".encode()

    def _answer(self, patience: float | None) -> tuple[int, str] | None:
        """One line, or nothing if none came in time."""
        assert self._line is not None, "it is connected"
        end = math.inf if patience is None else awake() + patience
        received = bytearray()
        self._line.settimeout(LOOK)
        while not received.endswith(b"\n"):
            if awake() > end:
                return None
            try:
                piece = self._line.recv(65536)
            except TimeoutError:
                continue
            except ConnectionError:
                piece = b""
            if not piece:
                raise Failure(f"{self.name}: is off{self._last_errors()}")
            received += piece
        status, _, text = received.decode().rstrip("\n").partition(" ")
        return int(status), base64.b64decode(text).decode(errors="replace")
