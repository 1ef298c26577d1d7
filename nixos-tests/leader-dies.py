# The machine whose master leads loses its power: the other two go on, and it comes back with what it missed.
nodes = [atlas, boron, cobalt]
begin_cluster(*nodes)

leader = leader_among(nodes)
rest = [node for node in nodes if node is not leader]
survivors = [node_id(node) for node in rest]

with subtest("a model is placed on machines that stay"):
    place(rest[0], min_nodes=2, node_ids=survivors)
    answers(rest[0])

with subtest("a stream goes on while the leader loses its power"):
    head = next(node for node in rest if ask(node, "/readyz"))
    begin_stream(head, tokens=600)
    begin = time.monotonic()
    leader.crash()
    until("another leads", lambda: ask(rest[0], "/cluster").get("leader") in survivors)
    head.log(f"another leads {time.monotonic() - begin:.1f} s after the crash")
    head.wait_until_succeeds("grep -q DONE /run/stream")
    _pieces, is_done, is_error = events(head)
    assert is_done and not is_error

with subtest("commands are accepted by the two that are left"):
    instance = next(iter(ask(rest[0], "/state")["instances"]))
    rest[0].succeed(curl(f"/instance/{instance}", more="--request DELETE"))
    place(rest[1], min_nodes=2, node_ids=survivors)
    answers(rest[1])

with subtest("the lost machine comes back and has what it missed"):
    start_exo(leader)
    until("all three vote again", lambda: is_one_cluster(nodes))
    placed = list(ask(rest[0], "/state")["instances"])
    until("it knows the same", lambda: list(ask(leader, "/state").get("instances", [])) == placed)
    answers(leader)
