# With a firewall that opens the ports of exo's nodes and nothing else, machines find each other and share a model, and
# nobody outside reaches the API or anything else.
nodes = [atlas, boron]
for node in nodes:
    node.start()
    node.wait_for_unit("multi-user.target")
    node.succeed("close-firewall")

with subtest("machines find each other through the firewall"):
    begin_cluster(atlas, boron)

with subtest("a model over both answers through it"):
    place(atlas, min_nodes=2)
    for node in nodes:
        answers(node)

with subtest("the API and every other port are closed to others"):
    atlas.succeed("(: </dev/tcp/boron/52414) 2>/dev/null")
    boron.succeed("systemd-run --quiet --unit=listener systemd-socket-activate --accept --inetd --listen=8080 cat")
    boron.wait_for_open_port(8080)
    for port in [52415, 8080]:
        atlas.fail(f"timeout 2 bash -c ': </dev/tcp/boron/{port}'")
