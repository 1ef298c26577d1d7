# A key that does not exist fails the build of the system, not the service: the message names it and the nearest known one.
machine.start()

with subtest("the build failed and named the key"):
    told = machine.succeed("cat /etc/failed-build/testBuildFailure.log")
    assert "unknown key" in told and "prot" in told and "port" in told, told
