# A machine that is cut off accepts nothing; the other two go on; afterwards all is one again.
nodes = [atlas, boron, cobalt]
begin_cluster(*nodes)
session = ask(atlas, "/cluster")["session"]
lonely = leader_among(nodes)
rest = [node for node in nodes if node is not lonely]
place_guide = {"model_id": "exo-guide"}

with subtest("the leader is cut off: the others choose another"):
    lonely.block()
    others = [node_id(node) for node in rest]
    until("another leads", lambda: ask(rest[0], "/cluster").get("leader") in others)

with subtest("the majority accepts commands"):
    place(rest[0])
    answers(rest[1])

with subtest("the minority accepts none, and says so"):
    lonely.fail(curl("/place_instance", place_guide))

with subtest("when the cable is back all are one cluster again, in the same session"):
    lonely.unblock()
    until("all three are one cluster", lambda: is_one_cluster(nodes))
    assert ask(lonely, "/cluster")["session"] == session
    placed = list(ask(rest[0], "/state")["instances"])
    assert len(placed) == 1, placed
    until("it knows what was placed", lambda: list(ask(lonely, "/state").get("instances", [])) == placed)
    answers(lonely)
