# What `services.exo.enable = true` promises on one machine. Runs in a NixOS virtual machine, and on systemd in a
# Debian container (nixos-tests/container/run.py).
import json

API = "http://127.0.0.1:52415"
SERVICES = ["exo-master", "exo-worker", "exo-api"]
# exo-guide's end of a sequence: with this bias an answer goes on for as long as it may.
NEVER_END = {"2": -100}


def curl(path, body=None, more=""):
    data = f"--json '{json.dumps(body)}'" if body is not None else ""
    return f"curl --silent --show-error --fail-with-body --max-time 45 {more} {data} '{API}{path}'"


def question(text, **more):
    return {"model": "exo-guide", "temperature": 0, "messages": [{"role": "user", "content": text}], **more}


def answers():
    """Waits until the model answers a question of which the answer is known."""
    machine.wait_until_succeeds(curl("/v1/chat/completions", question("What is exo?")) + " | grep -q cluster")


def wait_until_ready():
    machine.wait_until_succeeds(curl("/instance/await?model_id=exo-guide&timeout_seconds=30") + " | grep -q ready")


def main_pid(service):
    return machine.succeed(f"systemctl show --property=MainPID --value {service}").strip()


def wait_for_successor(service, before):
    machine.wait_until_succeeds(
        f"test $(systemctl show --property=MainPID --value {service}) != {before}"
        f" && systemctl is-active --quiet {service}"
    )


def kill(service):
    before = main_pid(service)
    machine.succeed(f"systemctl kill --signal=KILL --kill-whom=main {service}")
    wait_for_successor(service, before)


def change(service, *lines):
    """Adds lines to a service until the next change."""
    folder = f"/run/systemd/system/{service}.service.d"
    text = "\\n".join(["[Service]", *lines])
    machine.succeed(f"mkdir -p {folder} && printf '{text}\\n' >{folder}/changed.conf && systemctl daemon-reload")


def stop():
    # systemctl waits for the target itself; the services, which are part of it, stop beside it.
    machine.succeed("systemctl stop exo.target")
    machine.wait_until_fails("pgrep --list-full '^exo'")
    for service in SERVICES:
        machine.succeed(f"systemctl show --property=Result --value {service} | grep -qx success")


machine.start()
machine.wait_for_unit("multi-user.target")

with subtest("systemctl start exo.target makes all three ready"):
    machine.succeed("systemctl start exo.target")
    for service in SERVICES:
        machine.wait_for_unit(f"{service}.service")
        machine.succeed(f"systemctl show --property=Type --value {service} | grep -qx notify")
    machine.wait_for_open_port(52415)
    machine.wait_until_succeeds(curl("/readyz"))

with subtest("the services tell what they are at"):
    for service in SERVICES:
        machine.succeed(f'test -n "$(systemctl show --property=StatusText --value {service})"')

with subtest("the journal keeps who said what"):
    for service in SERVICES:
        machine.wait_until_succeeds(f"journalctl --unit={service} EXO_SERVICE={service} --output=cat | grep -q .")

with subtest("a model that is not placed is answered with what to do"):
    refusal = machine.fail(curl("/v1/chat/completions", question("hello")))
    assert "place" in refusal, refusal

with subtest("a placed model answers"):
    # Asked once: a repeated request would place it twice.
    machine.succeed(curl("/place_instance", {"model_id": "exo-guide"}))
    wait_until_ready()
    answers()

with subtest("a stream outlives the master"):
    body = question("Tell me what exo is.", stream=True, logit_bias=NEVER_END, max_tokens=400)
    stream = curl("/v1/chat/completions", body, "--no-buffer")
    machine.succeed(f"({stream}) >/run/stream 2>&1 </dev/null &")
    before = main_pid("exo-master")
    machine.wait_until_succeeds("grep -q chat.completion.chunk /run/stream")
    machine.succeed("systemctl kill --signal=KILL --kill-whom=main exo-master && ! grep -q DONE /run/stream")
    wait_for_successor("exo-master", before)
    machine.wait_until_succeeds("grep -q DONE /run/stream")
    machine.fail("grep -q '\"error\"' /run/stream")

with subtest("what was placed is still there after the master's restart"):
    machine.wait_until_succeeds(curl("/state") + " | grep -q exo-guide")
    answers()

with subtest("worker and API come back by themselves"):
    kill("exo-api")
    machine.wait_until_succeeds(curl("/readyz"))
    kill("exo-worker")
    answers()

with subtest("a runner that dies is replaced"):
    machine.succeed("pkill -KILL -x exo-runner")
    answers()

with subtest("a service that hangs is replaced"):
    change("exo-master", "WatchdogSec=2s")
    machine.succeed("systemctl restart exo-master")
    before = main_pid("exo-master")
    machine.succeed(f"kill -STOP {before}")
    wait_for_successor("exo-master", before)
    machine.succeed("journalctl --unit=exo-master | grep -q 'Watchdog timeout'")
    change("exo-master")
    machine.succeed("systemctl restart exo-master")
    answers()

with subtest("bad configuration is named and not tried again"):
    machine.succeed("systemctl stop exo-api")
    change("exo-api", "Environment=EXO_API_PORT=many")
    machine.fail("systemctl start exo-api")
    machine.succeed("systemctl show --property=ExecMainStatus --value exo-api | grep -qx 64")
    machine.succeed("systemctl show --property=ActiveState --value exo-api | grep -qx failed")
    machine.succeed("journalctl --unit=exo-api --lines=20 | grep -q EXO_API_PORT")
    change("exo-api")
    machine.succeed("systemctl start exo-api")
    answers()

with subtest("least privilege"):
    # systemd's own score in tenths, 0 (best) to 100; measured 11 to 13 with systemd 257.
    for service, limit in [("exo-master", 15), ("exo-worker", 18), ("exo-api", 15)]:
        machine.succeed(f"systemd-analyze security --no-pager --threshold={limit} {service}.service")

with subtest("nothing is left after the stop, and the state is kept"):
    stop()
    machine.succeed("systemctl start exo.target")
    answers()
    stop()

machine.shutdown()
