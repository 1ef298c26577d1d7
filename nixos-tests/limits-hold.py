# What the worker's unit says of devices and memory is kept by the kernel, and what breaks a limit does not take the worker along.
start_exo(machine)
place(machine)
group = "/sys/fs/cgroup" + machine.get_unit_property("exo-worker", "ControlGroup")
worker = main_pid(machine, "exo-worker")


def beside_the_worker(command):
    """A root's command in the worker's own group, where the unit's limits are all that holds it."""
    return f"bash -c 'echo $$ >{group}/cgroup.procs && {command}'"


with subtest("devices that the unit does not name are closed, even to root"):
    machine.succeed("head --bytes=1 /dev/vda >/dev/null")
    machine.fail(beside_the_worker("head --bytes=1 /dev/vda >/dev/null"))
    machine.succeed(beside_the_worker("head --bytes=1 /dev/urandom >/dev/null"))

with subtest("what takes more memory than the unit may have is ended, and the worker is not"):
    machine.succeed("systemctl set-property --runtime exo-worker MemoryMax=512M MemorySwapMax=0")
    machine.fail(beside_the_worker('exec python3 -c "bytearray(1 << 30)"'))
    machine.succeed(f"grep -qE '^oom_kill [1-9]' {group}/memory.events")
    assert main_pid(machine, "exo-worker") == worker
    answers(machine)
