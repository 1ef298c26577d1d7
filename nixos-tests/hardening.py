# The services run with least privilege: systemd's own score, and what the kernel says of the running processes.
start_exo(machine)
place(machine)

with subtest("systemd finds nothing wrong with the units"):
    units = " ".join(f"{service}.service" for service in [*SERVICES, "exo-hardware"])
    complaints = machine.succeed(f"systemd-analyze verify --man=no exo.target {units} 2>&1")
    about_exo = [line for line in complaints.splitlines() if "exo" in line]
    assert not about_exo, about_exo

with subtest("systemd's score is low"):
    # In tenths: 0 is the best, 100 the worst.
    for service, limit in [("exo-master", 12), ("exo-worker", 15), ("exo-api", 12)]:
        told = machine.succeed(f"systemd-analyze security --no-pager --threshold={limit} {service}.service")
        machine.log(told.strip().splitlines()[-1])

with subtest("no process of exo has a capability, may gain one, or runs without a system call filter"):
    for pid in machine.succeed("pgrep '^exo'").split():
        status = dict(
            line.split(":\t", 1) for line in machine.succeed(f"cat /proc/{pid}/status").splitlines() if ":\t" in line
        )
        name = status["Name"]
        for key, expected in [("CapEff", "0" * 16), ("CapBnd", "0" * 16), ("NoNewPrivs", "1"), ("Seccomp", "2")]:
            assert status[key] == expected, (name, key, status[key])
        assert int(status["Uid"].split("\t")[0]) != 0, name

with subtest("worker and runner belong to the groups of cards, and nobody else does"):
    cards = {machine.succeed(f"getent group {group}").split(":")[2] for group in ["render", "video"]}
    for name in [*SERVICES, "exo-runner"]:
        pid = machine.succeed(f"pgrep -x {name}").split()[0]
        groups = set(machine.succeed(f"grep ^Groups: /proc/{pid}/status").split()[1:])
        assert groups & cards == (cards if name in ["exo-worker", "exo-runner"] else set()), (name, groups)
    # What belongs to them can be opened, though the unit has its own idea of users.
    folder = "/run/systemd/system/exo-worker.service.d"
    machine.succeed(
        "install --mode=640 --group=render /dev/null /run/card",
        f"mkdir -p {folder}",
        f"printf '[Service]\\nExecStartPre=%s /run/card\\n' $(command -v head) >{folder}/card.conf",
        "systemctl daemon-reload",
        "systemctl restart exo-worker",
        f"rm {folder}/card.conf && systemctl daemon-reload",
    )
    answers(machine)

with subtest("what lies outside of its own folders cannot be written"):
    for service in SERVICES:
        inside = f"nsenter --target={main_pid(machine, service)} --mount"
        machine.succeed(f"{inside} test -w /var/lib/exo")
        for folder in ["/usr", "/etc", "/root", "/home", "/boot", "/sys/kernel", "/var/lib"]:
            machine.fail(f"test -d {folder} && {inside} touch {folder}/exo-was-here")

with subtest("a runner is confined beyond its worker"):
    runner = machine.succeed("pgrep -x exo-runner").split()[0]
    filters = [
        int(machine.succeed(f"grep Seccomp_filters /proc/{pid}/status").split()[1])
        for pid in (runner, main_pid(machine, "exo-worker"))
    ]
    assert filters[0] > filters[1], filters
    told = machine.succeed("journalctl --unit=exo-worker --output=cat | grep 'runners are confined'")
    machine.log(told.strip().splitlines()[-1])

with subtest("with all that, it answers"):
    answers(machine)
