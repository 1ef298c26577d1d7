# What `services.exo.enable = true` promises on one machine, and that a second one joins with a token file.


def change(service, *lines):
    """Adds lines to a service until the next change."""
    folder = f"/run/systemd/system/{service}.service.d"
    text = "\\n".join(["[Service]", *lines])
    machine.succeed(f"mkdir -p {folder} && printf '{text}\\n' >{folder}/changed.conf && systemctl daemon-reload")


def stop():
    # systemctl waits for the target itself; the services, which are part of it, stop beside it.
    begin = time.monotonic()
    machine.succeed("systemctl stop exo.target")
    machine.wait_until_fails("pgrep --list-full '^exo'")
    machine.log(f"all three stopped within {time.monotonic() - begin:.1f} s")
    for service in SERVICES:
        machine.succeed(f"systemctl show --property=Result --value {service} | grep -qx success")


machine.start()
machine.wait_for_unit("multi-user.target")

with subtest("systemctl start exo.target makes all three ready"):
    # The target is up as soon as it was asked for; a service, when it says that it serves.
    begin = time.monotonic()
    machine.succeed("systemctl start exo.target")
    for service in SERVICES:
        machine.wait_for_unit(f"{service}.service")
    machine.log(f"all three READY within {time.monotonic() - begin:.1f} s")
    for service in SERVICES:
        machine.succeed(f"systemctl show --property=Type --value {service} | grep -qx notify-reload")
    machine.wait_for_open_port(52415)
    machine.wait_until_succeeds(curl("/readyz"))

with subtest("the services tell what they are at: session, leader, models"):
    for service in SERVICES:
        machine.wait_until_succeeds(f"systemctl show --property=StatusText --value {service} | grep 'session 1'")

with subtest("the journal keeps who said what"):
    own = node_id(machine)
    for service in SERVICES:
        machine.wait_until_succeeds(f"journalctl --unit={service} EXO_SERVICE={service} --output=cat | grep -q .")
        machine.wait_until_succeeds(f"journalctl --unit={service} EXO_NODE={own} --output=cat | grep -q .")

with subtest("a model that is not placed is answered with what to do"):
    refusal = machine.fail(curl("/v1/chat/completions", question("hello")))
    assert "place" in refusal, refusal

with subtest("a placed model answers"):
    place(machine)
    answers(machine)
    for service in SERVICES:
        machine.wait_until_succeeds(f"systemctl show --property=StatusText --value {service} | grep 'serving exo-guide'")

with subtest("the journal finds an instance and a command"):
    instance = next(iter(ask(machine, "/state")["instances"]))
    machine.succeed(f"journalctl --unit=exo-worker EXO_INSTANCE={instance} --output=cat | grep -q 'a runner starts'")
    # What a runner prints is found by its instance too; an instance is named after the command that made it.
    machine.succeed(f"journalctl --unit=exo-master EXO_COMMAND={instance} --output=cat | grep -q 'place a model'")

with subtest("a stream outlives the master"):
    before = main_pid(machine, "exo-master")
    begin_stream(machine, tokens=400)
    machine.succeed("systemctl kill --signal=KILL --kill-whom=main exo-master && ! grep -q DONE /run/stream")
    wait_for_successor(machine, "exo-master", before)
    machine.wait_until_succeeds("grep -q DONE /run/stream")
    machine.fail("grep -q '\"error\"' /run/stream")

with subtest("what was placed is still there after the master's restart"):
    machine.wait_until_succeeds(curl("/state") + " | grep -q exo-guide")
    answers(machine)

with subtest("worker and API come back by themselves"):
    kill(machine, "exo-api")
    machine.wait_until_succeeds(curl("/readyz"))
    kill(machine, "exo-worker")
    answers(machine)

with subtest("a service that is killed again and again waits longer each time"):
    waits = []
    for _ in range(4):
        before, begin = main_pid(machine, "exo-api"), time.monotonic()
        machine.succeed("systemctl kill --signal=KILL --kill-whom=main exo-api")
        wait_for_successor(machine, "exo-api", before)
        waits.append(time.monotonic() - begin)
    machine.log("back after " + ", ".join(f"{wait:.1f} s" for wait in waits))
    assert waits[-1] > waits[0], waits
    machine.succeed("systemctl reset-failed exo-api")

with subtest("a runner that dies is replaced"):
    machine.succeed("pkill -KILL -x exo-runner")
    answers(machine)

with subtest("a service that hangs is replaced"):
    change("exo-master", "WatchdogSec=2s")
    machine.succeed("systemctl restart exo-master")
    before = main_pid(machine, "exo-master")
    machine.succeed(f"kill -STOP {before}")
    wait_for_successor(machine, "exo-master", before)
    machine.succeed("journalctl --unit=exo-master | grep -q 'Watchdog timeout'")
    change("exo-master")
    machine.succeed("systemctl restart exo-master")
    answers(machine)

with subtest("bad configuration is named and not tried again"):
    machine.succeed("systemctl stop exo-api")
    change("exo-api", "Environment=EXO_API_PORT=many")
    machine.fail("systemctl start exo-api")
    machine.succeed("systemctl show --property=ExecMainStatus --value exo-api | grep -qx 64")
    machine.succeed("systemctl show --property=ActiveState --value exo-api | grep -qx failed")
    machine.succeed("journalctl --unit=exo-api --lines=20 | grep -q EXO_API_PORT")
    change("exo-api")
    machine.succeed("systemctl start exo-api")
    answers(machine)

with subtest("a reload takes up keys and the level, and stops nothing"):
    machine.succeed("umask 022 && echo secret >/run/exo-keys && cp --dereference /etc/exo/exo.toml /run/exo.toml")
    change("exo-api", "Environment=EXO_CONFIG=/run/exo.toml EXO_API_KEY_FILE=/run/exo-keys")
    machine.succeed("systemctl restart exo-api")
    before = main_pid(machine, "exo-api")
    machine.wait_until_succeeds(curl("/readyz"))
    machine.fail(curl("/state"))
    machine.succeed(curl("/state", more="--header 'x-api-key: secret'"))
    machine.fail("journalctl --unit=exo-api PRIORITY=6 --output=cat | grep -q 'answered'")
    machine.succeed("echo another >/run/exo-keys && printf '[logging]\\nlevel = \"debug\"\\n' >>/run/exo.toml")
    machine.succeed("systemctl reload exo-api")
    machine.fail(curl("/state", more="--header 'x-api-key: secret'"))
    machine.succeed(curl("/state", more="--header 'x-api-key: another'"))
    machine.wait_until_succeeds("journalctl --unit=exo-api PRIORITY=6 --output=cat | grep -q 'answered'")
    # Keys that cannot be read: those in force stay, and the journal says why.
    machine.succeed("rm /run/exo-keys && systemctl reload exo-api")
    machine.succeed(curl("/state", more="--header 'x-api-key: another'"))
    machine.succeed("journalctl --unit=exo-api --output=cat | grep -q api.keyFile")
    assert main_pid(machine, "exo-api") == before
    change("exo-api")
    machine.succeed("systemctl restart exo-api")
    machine.wait_until_succeeds(curl("/readyz"))
    answers(machine)

with subtest("an open stream does not hold up a stop"):
    begin_stream(machine, tokens=4000)
    stop()
    pieces, is_done, is_error = events(machine)
    assert pieces > 0 and (is_done or is_error), (pieces, is_done, is_error)
    machine.succeed("systemctl start exo.target")
    answers(machine)

with subtest("nothing is left after the stop, and the state is kept"):
    stop()
    machine.succeed("systemctl start exo.target")
    answers(machine)

with subtest("a second machine joins with a token file"):
    join(machine, newcomer)
    until("both machines are one cluster", lambda: is_one_cluster([machine, newcomer]))
    answers(newcomer)

stop()
machine.shutdown()
