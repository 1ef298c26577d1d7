# A runner, then a worker, dies while an answer streams over two machines: the answer pauses and goes on to its end, and
# the next question is answered without anyone's help.
nodes = [atlas, boron]
begin_cluster(atlas, boron)
place(atlas, min_nodes=2)
answers(atlas)


def dies_mid_stream(victim, command):
    begin_stream(atlas, tokens=3000)
    victim.succeed(command)
    atlas.wait_until_succeeds("grep -qE 'DONE|\"error\"' /run/stream")
    pieces, is_done, is_error = events(atlas)
    assert pieces > 0 and is_done and not is_error, (pieces, is_done, is_error)
    begin = time.monotonic()
    for node in nodes:
        answers(node)
    atlas.log(f"answers again after {time.monotonic() - begin:.1f} s")


def holders():
    """The machines on which a part of the model is: all at first, later where it was placed anew."""
    return [node for node in nodes if node.execute("pgrep -x exo-runner")[0] == 0]


with subtest("the runner of each machine is killed"):
    for victim in nodes:
        dies_mid_stream(victim, "pkill -KILL -x exo-runner")

with subtest("a worker is killed"):
    dies_mid_stream(holders()[-1], "systemctl kill --signal=KILL --kill-whom=main exo-worker")
