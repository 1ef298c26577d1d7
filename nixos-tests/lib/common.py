# Words that the tests' scripts share. Stands before each of them, in virtual machines and in containers.
import json
import time

API = "http://127.0.0.1:52415"
# How many times slower than usual everything may be; a driver whose machines are slow says so.
SLOWNESS = globals().get("SLOWNESS", 1)
SERVICES = ["exo-master", "exo-worker", "exo-api"]
# exo-guide's end of a sequence: with this bias an answer goes on for as long as it may.
NEVER_END = {"2": -100}


def curl(path, body=None, more=""):
    """A command that asks a machine's own API."""
    data = f"--json '{json.dumps(body)}'" if body is not None else ""
    return f"curl --silent --show-error --fail-with-body --max-time {45 * SLOWNESS:.0f} {more} {data} '{API}{path}'"


def question(text, **more):
    return {"model": "exo-guide", "temperature": 0, "messages": [{"role": "user", "content": text}], **more}


def long_question(tokens):
    return question("Tell me what exo is.", stream=True, logit_bias=NEVER_END, max_tokens=tokens)


def answers(node):
    """Waits until the model answers a question of which the answer is known."""
    node.wait_until_succeeds(curl("/v1/chat/completions", question("What is exo?")) + " | grep -q cluster")


def place(node, **how):
    """Places exo-guide, once, and waits until all of it is ready."""
    node.succeed(curl("/place_instance", {"model_id": "exo-guide", **how}))
    node.wait_until_succeeds(curl("/instance/await?model_id=exo-guide&timeout_seconds=30") + " | grep -q ready")


def begin_stream(node, tokens, file="/run/stream"):
    """Asks for a long answer and lets it stream into a file; returns when its first words are there. A slow machine is
    asked for fewer tokens, which take it as long."""
    command = curl("/v1/chat/completions", long_question(max(int(tokens / SLOWNESS), 80)), "--no-buffer")
    node.succeed(f"({command}) >{file} 2>&1 </dev/null &")
    node.wait_until_succeeds(f"grep -q chat.completion.chunk {file}")


def main_pid(node, service):
    return node.succeed(f"systemctl show --property=MainPID --value {service}").strip()


def wait_for_successor(node, service, before):
    node.wait_until_succeeds(
        f"test $(systemctl show --property=MainPID --value {service}) != {before}"
        f" && systemctl is-active --quiet {service}"
    )


def kill(node, service):
    before = main_pid(node, service)
    node.succeed(f"systemctl kill --signal=KILL --kill-whom=main {service}")
    wait_for_successor(node, service, before)


def start_exo(node):
    """Boots a machine and has exo serve there."""
    node.start()
    node.wait_for_unit("multi-user.target")
    node.succeed("systemctl start exo.target")
    node.wait_until_succeeds(curl("/readyz"))


def join(founder, *others):
    """Lets machines into the cluster of another: with a token file, which is there before exo starts."""
    token = founder.wait_until_succeeds("exo cluster token --reusable").strip().splitlines()[-1]
    for node in others:
        node.start()
        node.wait_for_unit("multi-user.target")
        node.succeed(
            "mkdir -p -m 700 /run/credstore",
            f"umask 077 && echo {token} >/run/credstore/exo.join-token",
            "systemctl restart exo.target",
        )
        node.wait_until_succeeds(curl("/readyz"))


def until(what, condition, patience=60):
    """Waits until a condition of several machines holds."""
    # A driver whose machines may be stopped with it says how long it ran.
    clock = globals().get("awake", time.monotonic)
    end = clock() + patience * SLOWNESS
    while not condition():
        assert clock() < end, f"waited {patience * SLOWNESS:.0f} s until {what}"
        time.sleep(0.2)


def ask(node, path):
    """What a machine's API tells, or nothing while it tells nothing."""
    status, text = node.execute(curl(path))
    return json.loads(text) if status == 0 else {}


def node_id(node):
    return ask(node, "/readyz").get("node_id")


def is_one_cluster(nodes):
    """Whether all of these machines vote in one session, know each other, and agree on who leads."""
    seen = [(ask(node, "/readyz"), ask(node, "/cluster")) for node in nodes]
    whole = all(ready.get("nodes") == len(nodes) and len(told.get("voters", [])) == len(nodes) for ready, told in seen)
    leaders = {told.get("leader") for _, told in seen}
    return whole and len(leaders) == 1 and None not in leaders


def begin_cluster(founder, *others):
    """Makes one cluster of machines that were never started."""
    start_exo(founder)
    join(founder, *others)
    until("the machines are one cluster", lambda: is_one_cluster([founder, *others]))


def leader_among(nodes):
    leader = ask(nodes[0], "/cluster")["leader"]
    return next(node for node in nodes if node_id(node) == leader)


def events(node, file="/run/stream"):
    """How a stream that was begun stands: how many pieces came, and whether it ended well or with an error."""
    text = node.succeed(f"cat {file}")
    return text.count("chat.completion.chunk"), "[DONE]" in text, '"error"' in text
