# Kubernetes takes the manifests: pods find exo's API by name, at the addresses of the machines.
machine.start()
machine.wait_for_unit("k3s.service")


def kubectl(arguments):
    return f"k3s kubectl --namespace exo {arguments}"


with subtest("Kubernetes has the Service, and the machine behind it"):
    machine.wait_until_succeeds(kubectl("get service exo"))
    slices = machine.wait_until_succeeds(
        kubectl("get endpointslices --selector kubernetes.io/service-name=exo --output json")
    )
    endpoints = [endpoint for piece in json.loads(slices)["items"] for endpoint in piece["endpoints"]]
    assert ["192.168.1.1"] in [endpoint["addresses"] for endpoint in endpoints], endpoints
    assert [port["port"] for piece in json.loads(slices)["items"] for port in piece["ports"]] == [52415]

with subtest("nothing of it may do anything in Kubernetes"):
    machine.succeed(kubectl("get serviceaccount exo"))
    machine.fail(kubectl("auth can-i get pods --as system:serviceaccount:exo:exo --quiet"))
