# The driver of a card comes after exo was started: the worker waits for it, and nobody else does; one that never comes is
# given up after a time that is told.
machine.start()
machine.wait_for_unit("multi-user.target")

# A card as the kernel shows it: on the bus at once, with a driver when that is loaded.
CARD = "/run/cards/0000:03:00.0"
machine.succeed(
    "systemctl stop exo.target exo-hardware exo-worker",
    f"mkdir -p {CARD}",
    f"echo 0x038000 >{CARD}/class && echo 0x8086 >{CARD}/vendor && echo 0x56a0 >{CARD}/device",
    "mount --bind /run/cards /sys/bus/pci/devices",
)

with subtest("the worker waits for the driver, and systemctl status says what is waited for"):
    machine.succeed("systemctl start --no-block exo.target")
    machine.wait_until_succeeds("systemctl status --no-pager exo-hardware | grep -q 'waiting at most .* no driver'")
    for service in ["exo-master", "exo-api"]:
        machine.wait_for_unit(service)
    machine.require_unit_state("exo-hardware", "activating")
    machine.require_unit_state("exo-worker", "inactive")

with subtest("the driver comes: the worker starts"):
    machine.succeed(f"ln -s /sys/bus/pci/drivers/xe {CARD}/driver")
    machine.wait_for_unit("exo-hardware")
    machine.wait_for_unit("exo-worker")
    card = json.loads(machine.succeed("cat /run/exo/hardware.json"))["gpus"][0]
    assert card["driver"] == "xe" and card["availability"]["state"] == "ready", card

with subtest("a driver that never comes is given up, and the worker computes without it"):
    machine.succeed(
        "systemctl stop exo-hardware exo-worker",
        f"rm {CARD}/driver",
        "mkdir -p /run/systemd/system/exo-hardware.service.d",
        "printf '[Service]\\nExecStart=\\nExecStart=%s hardware --wait 2 --write /run/exo/hardware.json\\n' $(command -v exo)"
        " >/run/systemd/system/exo-hardware.service.d/patience.conf",
        "systemctl daemon-reload",
        "systemctl start exo-worker exo-hardware",
    )
    machine.wait_for_unit("exo-worker")
    machine.succeed("systemctl status --no-pager exo-hardware | grep -q 'not ready after 2 s, exo does without'")
    place(machine)
    answers(machine)
