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

with subtest("both machines have an RDMA device over their network"):
    for node in nodes:
        node.wait_for_unit("multi-user.target")
        node.succeed("rdma link add rxe0 type rxe netdev eth1")
        node.wait_until_succeeds("ibv_devices | grep -q rxe0")

with subtest("a reliable connection carries data under the worker's limits"):
    atlas.succeed(f"systemd-run --unit=pong {LIMITS} $(command -v ibv_rc_pingpong) -d rxe0 -g 1")
    boron.wait_until_succeeds(
        f"systemd-run --quiet --pipe --wait {LIMITS} $(command -v ibv_rc_pingpong) -d rxe0 -g 1 atlas"
    )

with subtest("without the memory that the unit allows to lock it is refused"):
    boron.fail(
        f"systemd-run --quiet --pipe --wait {LIMITS} --property=LimitMEMLOCK=4K $(command -v ibv_rc_pingpong) -d rxe0 -g 1 atlas"
    )
