# An upgrade restarts the services; the node stays who it was, and what was placed answers again by itself.
start_exo(machine)
place(machine)
answers(machine)
node, session = node_id(machine), ask(machine, "/cluster")["session"]
instances = list(ask(machine, "/state")["instances"])
before = {service: main_pid(machine, service) for service in SERVICES}

with subtest("the upgrade restarts all three"):
    begin = time.monotonic()
    machine.succeed("upgrade-exo")
    for service in SERVICES:
        wait_for_successor(machine, service, before[service])

with subtest("what was placed answers again"):
    answers(machine)
    machine.log(f"answers again {time.monotonic() - begin:.1f} s after the upgrade began")

with subtest("nothing of the state is lost"):
    until("the cluster is the same", lambda: ask(machine, "/cluster").get("session") == session)
    assert node_id(machine) == node
    assert list(ask(machine, "/state")["instances"]) == instances
    machine.succeed("exo log tail >/dev/null")

with subtest("a reboot keeps it too"):
    machine.reboot()
    start_exo(machine)
    answers(machine)
    assert node_id(machine) == node
