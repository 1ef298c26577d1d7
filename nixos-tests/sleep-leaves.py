# A machine that is sent to sleep leaves the cluster first, so that nobody waits for it, and comes back when it wakes.
nodes = [atlas, boron, cobalt]
begin_cluster(*nodes)
place(atlas, node_ids=[node_id(atlas)])
before = {service: main_pid(boron, service) for service in SERVICES}
boron.succeed("prepare-sleep")

with subtest("exo holds the machine up before it sleeps"):
    boron.succeed("systemd-inhibit --list --no-pager | grep exo | grep -q delay")

with subtest("it leaves before it sleeps"):
    boron.succeed("fall-asleep")
    boron.wait_until_succeeds("journalctl --unit=exo-worker --output=cat | grep -q 'falls asleep'")
    until("the others see two nodes", lambda: ask(atlas, "/readyz").get("nodes") == 2, patience=20)
    answers(atlas)

with subtest("it is back when it wakes, in the same processes"):
    boron.wait_until_succeeds("journalctl --unit=exo-worker --output=cat | grep -q 'is awake'")
    until("all three are one cluster", lambda: is_one_cluster(nodes))
    assert {service: main_pid(boron, service) for service in SERVICES} == before
    answers(boron)
