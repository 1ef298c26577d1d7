# Three machines with a token between them become one cluster that agrees on a leader and splits a model.
nodes = [atlas, boron, cobalt]

with subtest("three machines become one cluster"):
    begin = time.monotonic()
    begin_cluster(atlas, boron, cobalt)
    atlas.log(f"one cluster of three within {time.monotonic() - begin:.1f} s, boots included")

with subtest("they agree on one session and one leader"):
    told = [ask(node, "/cluster") for node in nodes]
    assert len({json.dumps(each["session"]) for each in told}) == 1, told
    roles = [master["role"] for master in told[0]["masters"]]
    assert len(roles) == 3 and len(set(roles)) == 2, roles

with subtest("a model over two machines answers at every machine"):
    place(atlas, min_nodes=2)
    for node in nodes:
        answers(node)

with subtest("systemctl status of every machine tells the same session"):
    for node in nodes:
        for service in SERVICES:
            node.wait_until_succeeds(f"systemctl show --property=StatusText --value {service} | grep 'session 1'")

with subtest("a machine that is switched off and on is a voter again"):
    cobalt.reboot()
    start_exo(cobalt)
    until("cobalt votes again", lambda: is_one_cluster(nodes))
    answers(cobalt)
