# A link of a bond dies while an answer streams over it: nobody notices but `exo status`, which tells it.
start_all()
nodes = [atlas, boron]
begin_cluster(atlas, boron)
place(atlas, min_nodes=2)
answers(atlas)

with subtest("a stream over two machines outlives the active link of their bond"):
    begin_stream(atlas, tokens=800)
    active = atlas.succeed("cat /sys/class/net/bond0/bonding/active_slave").strip()
    atlas.succeed(f"ip link set {active} down && ! grep -q DONE /run/stream")
    atlas.wait_until_succeeds("grep -q DONE /run/stream")
    _pieces, is_done, is_error = events(atlas)
    assert is_done and not is_error

with subtest("the bond goes on with the other link, and exo tells"):
    assert atlas.succeed("cat /sys/class/net/bond0/bonding/active_slave").strip() != active
    atlas.wait_until_succeeds("exo status | grep -q degraded-carrier")
    answers(boron)

with subtest("the link comes back"):
    atlas.succeed(f"ip link set {active} up")
    atlas.wait_until_fails("exo status | grep -q degraded-carrier")
    answers(atlas)
