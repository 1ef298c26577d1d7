# What keeps a service from starting stands in one line of `systemctl status`, and it recovers when the cause goes.
start_exo(machine)


def tells(service, *words):
    """Waits until one line of `systemctl status` says what is wrong: the service's own word, or what its check found."""
    filters = " | ".join(f"grep -F '{word}'" for word in words)
    line = machine.wait_until_succeeds(f"systemctl status --no-pager --full --lines=20 {service} | {filters} | tail -n 1 | grep .")
    machine.log(f"{service}: {line.strip()}")


def recovers(service):
    machine.wait_until_succeeds(f"systemctl is-active --quiet {service}")
    machine.wait_until_succeeds(curl("/readyz"))


with subtest("a port that another program has"):
    machine.succeed(
        "systemctl stop exo-api",
        "systemd-run --quiet --unit=thief systemd-socket-activate --accept --inetd --listen=127.0.0.1:52415 cat",
    )
    machine.wait_for_open_port(52415, "127.0.0.1")
    machine.succeed("systemctl start --no-block exo-api")
    tells("exo-api", "port 52415", "api.port")
    machine.succeed("systemctl stop thief")
    recovers("exo-api")

with subtest("a data directory that is not there, as when its disk is not mounted"):
    machine.succeed(
        "mkdir -p /run/systemd/system/exo-worker.service.d",
        "printf '[Service]\\nEnvironment=EXO_DATA_DIR=/srv/exo\\nReadWritePaths=-/srv/exo\\n'"
        " >/run/systemd/system/exo-worker.service.d/away.conf",
        "systemctl daemon-reload",
        "systemctl stop exo-worker",
        "systemctl start --no-block exo-worker",
    )
    tells("exo-worker", "/srv/exo")
    machine.succeed("install --directory --owner=exo --group=exo --mode=700 /srv/exo")
    recovers("exo-worker")
    machine.succeed(
        "rm /run/systemd/system/exo-worker.service.d/away.conf",
        "systemctl daemon-reload",
        "systemctl restart exo-worker",
    )

with subtest("a key file that is not there"):
    machine.succeed(
        "mkdir -p /run/systemd/system/exo-api.service.d",
        "printf '[Service]\\nEnvironment=EXO_API_KEY_FILE=/run/exo-keys\\n' >/run/systemd/system/exo-api.service.d/keys.conf",
        "systemctl daemon-reload",
        "systemctl stop exo-api",
        "systemctl start --no-block exo-api",
    )
    tells("exo-api", "/run/exo-keys", "api.keyFile")
    machine.succeed("umask 022 && echo secret >/run/exo-keys")
    recovers("exo-api")
    machine.fail(curl("/state"))
