# A runner of an exo that may order scopes from systemd has one of its own, with the configured limits, which ends with it.
machine.start()
machine.wait_for_unit("multi-user.target")
machine.succeed("systemctl stop exo.target exo-master exo-worker exo-api")
# What the runner's engine may take, and 256 MiB for all else of its process.
MEMORY = (512 + 256) << 20


def scope():
    """The unit that the one runner is in, as the kernel tells."""
    group = machine.wait_until_succeeds("cat /proc/$(pgrep -x exo-runner)/cgroup | grep '\\.scope$' | tail -n 1")
    return group.strip().rsplit("/", 1)[-1]


with subtest("a runner is put into a scope with its limits"):
    machine.succeed("systemd-run --unit=by-hand $(command -v exo) up")
    machine.wait_until_succeeds(curl("/readyz"))
    place(machine)
    first = scope()
    assert machine.get_unit_property(first, "MemoryMax") == str(MEMORY), machine.get_unit_info(first)
    assert machine.get_unit_property(first, "MemorySwapMax") == "0"
    assert machine.get_unit_property(first, "CPUQuotaPerSecUSec") == "1s"
    assert "exo runner" in machine.get_unit_property(first, "Description")
    answers(machine)

with subtest("a runner that is started anew has a new one, and the old one is gone"):
    machine.succeed("pkill -KILL -x exo-runner")
    answers(machine)
    second = scope()
    assert second != first, second
    machine.wait_until_fails(f"systemctl is-active --quiet {first}")

with subtest("nothing is left when exo stops"):
    machine.succeed("systemctl stop by-hand")
    machine.wait_until_fails("pgrep -x exo-runner")
    machine.wait_until_fails(f"systemctl is-active --quiet {second}")
