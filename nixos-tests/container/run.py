#!/usr/bin/env python3
"""Runs a NixOS test's script on real systemd in a Debian container.

usage: run.py --bin DIR --cache DIR NAME

NAME is that of a script in the folder above (single-node for single-node.py). DIR holds exo's programs. The base system
is made once by mmdebstrap and kept in the cache. Needs root, mmdebstrap and systemd-nspawn.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

from machine import Failure, Machine

REPOSITORY = Path(__file__).resolve().parents[2]
SUITE = "trixie"
PACKAGES = "systemd,systemd-sysv,dbus,curl,iproute2,procps,python3-minimal"
PROGRAMS = ["exo", "exo-master", "exo-worker", "exo-api", "exo-runner"]


def base_system(cache: Path) -> Path:
    """The unpacked Debian, made if it is not in the cache."""
    base = cache / f"debian-{SUITE}"
    if (base / ".complete").exists():
        return base
    shutil.rmtree(base, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    print(f"making a Debian {SUITE} base system (once, about a minute)", file=sys.stderr)
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(base)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    subprocess.run(["chroot", str(base), "ldconfig"], check=True)
    for mark in ("etc/.updated", "var/.updated", ".complete"):
        (base / mark).touch()
    return base


def install(root: Path, programs: Path) -> None:
    """Puts programs, units, the model and the configuration where a distribution's package would."""
    for program in PROGRAMS:
        shutil.copy2(programs / program, root / "usr/bin" / program)
    units = root / "usr/lib/systemd/system"
    for unit in (REPOSITORY / "packaging/systemd").iterdir():
        shutil.copy2(unit, units / unit.name)
    shutil.copy2(REPOSITORY / "packaging/sysusers/exo.conf", root / "usr/lib/sysusers.d/exo.conf")
    models = root / "usr/share/exo/models"
    models.mkdir(parents=True)
    for model in (REPOSITORY / "models").glob("*.gguf"):
        shutil.copy2(model, models / model.name)
    configuration = root / "etc/exo/exo.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text('[models]\ndirs = ["/usr/share/exo/models"]\n\n[networking]\nloopbackOnly = true\n')
    configuration.chmod(0o644)
    target_wants = root / "etc/systemd/system/exo.target.wants"
    target_wants.mkdir(parents=True)
    for role in ("master", "worker", "api"):
        (target_wants / f"exo-{role}.service").symlink_to(f"/usr/lib/systemd/system/exo-{role}.service")
    # The container's own: an older one on the host does not know every line of newer files.
    users = subprocess.run(["chroot", str(root), "systemd-sysusers"], capture_output=True, text=True, check=False)
    if users.returncode != 0:
        raise Failure(f"systemd-sysusers ended with {users.returncode}:\n{users.stderr}")


@contextlib.contextmanager
def subtest(name: str):
    """A named part of a script, with its time."""
    begin = time.monotonic()
    yield
    print(f"  ok    {name} ({time.monotonic() - begin:.1f} s)", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, required=True, help="folder with exo's programs")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the base system")
    parser.add_argument("name", help="script to run, without .py")
    arguments = parser.parse_args()

    script = REPOSITORY / "nixos-tests" / f"{arguments.name}.py"
    root = arguments.cache / "machines" / f"{arguments.name}"
    shutil.rmtree(root, ignore_errors=True)
    root.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(["cp", "-a", "--reflink=auto", str(base_system(arguments.cache)), str(root)], check=True)
    machine = Machine(f"exo-{arguments.name}", root)
    try:
        install(root, arguments.bin)
        code = compile(script.read_text(), str(script), "exec")
        exec(code, {"machine": machine, "subtest": subtest, "start_all": machine.start})
    except Failure as failure:
        print(f"FAILED {arguments.name}: {failure}", file=sys.stderr)
        if machine.runs:
            print(machine.execute("journalctl --no-pager --lines=120 --unit='exo-*'")[1], file=sys.stderr)
        return 1
    finally:
        machine.destroy()
    print(f"{arguments.name}: passed", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
