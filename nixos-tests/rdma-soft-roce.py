# RDMA between two machines works with the limits and devices that the worker's unit leaves to it.
start_all()
nodes = [atlas, boron]
# What the worker's unit says of devices, memory and privileges, for a program that is not exo's.
LIMITS = " ".join(
    f"--property={line}"
    for line in [
        "DevicePolicy=closed",
        "PrivateDevices=no",
        "LimitMEMLOCK=infinity",
        "DeviceAllow=char-infiniband_verbs",
        "'DeviceAllow=/dev/infiniband/rdma_cm rw'",
        "CapabilityBoundingSet=",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "MemoryDenyWriteExecute=yes",
    ]
)


def device(node):
    """The name of the RDMA device over eth1: udev may have given it another than it was made with."""
    node.succeed("udevadm settle")
    return node.succeed("rdma link show | sed -nE 's|^link ([^/]+)/.* netdev eth1.*|\\1|p' | grep .").strip()


def pingpong(node, how, *more):
    """A program that sends data to and fro over its machine's device, held to what the worker's unit says and `more`."""
    program = f"$(command -v ibv_rc_pingpong) --ib-dev={device(node)} --gid-idx=1 --size=16384 --iters=100"
    peer = " atlas" if node is boron else ""
    return f"systemd-run {how} {LIMITS} {' '.join(more)} {program}{peer} 2>&1"


with subtest("both machines have an RDMA device over their network"):
    for node in nodes:
        node.wait_for_unit("multi-user.target")
        node.succeed("rdma link add rxe0 type rxe netdev eth1")
        node.wait_until_succeeds(f"ibv_devices | grep -q {device(node)}")

with subtest("a reliable connection carries data under the worker's limits"):
    atlas.succeed(pingpong(atlas, "--unit=pong"))
    atlas.wait_until_succeeds("ss --listening --tcp --numeric | grep -q :18515")
    told = boron.succeed(pingpong(boron, "--quiet --pipe --wait"))
    assert "100 iters" in told, told
    atlas.wait_until_succeeds("journalctl --unit=pong --output=cat | grep -q '100 iters'")

with subtest("without the memory that the unit allows to lock it is refused"):
    told = boron.fail(pingpong(boron, "--quiet --pipe --wait", "--property=LimitMEMLOCK=4K"))
    assert "register MR" in told, told

with subtest("without the devices that the unit names it is refused"):
    told = boron.fail(pingpong(boron, "--quiet --pipe --wait", "--property=DeviceAllow="))
    assert "context" in told, told
