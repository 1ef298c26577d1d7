"""The cables between machines: a bridge for each network that machines name."""

from __future__ import annotations

import os

from words import host


class Network:
    """As in NixOS's tests: network V is 192.168.V.0/24, and a machine's number in it is its place among all names."""

    def __init__(self, vlans: dict[str, list[int]]) -> None:
        # Short: a name of an interface has at most 15 characters. The number keeps two runs apart.
        self.run = f"{os.getpid() % 1_000_000:06d}"
        self.vlans = vlans
        self.places = {name: number for number, name in enumerate(sorted(vlans), start=1)}

    def interfaces(self, name: str) -> list[tuple[str, str, str, str]]:
        """Of a machine, in order: its name inside, its address, the host's end of the cable, the bridge that it is in."""
        place = self.places[name]
        return [
            (f"eth{number}", f"192.168.{vlan}.{place}", f"xv{self.run}-{place}{number}", self._bridge(vlan))
            for number, vlan in enumerate(self.vlans[name], start=1)
        ]

    def title(self, name: str) -> str:
        """A name for a machine's namespaces and groups that no other run uses."""
        return f"exo-{self.run}-{name}"

    def hosts(self) -> str:
        """/etc/hosts: every machine by its address in the first of its networks."""
        lines = [f"{self.interfaces(name)[0][1]} {name}" for name in self.places]
        return "\n".join(["127.0.0.1 localhost", "::1 localhost", *lines, ""])

    def up(self) -> None:
        for bridge in self._bridges():
            host("ip", "link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
            host("ip", "link", "set", bridge, "up")

    def down(self) -> None:
        for bridge in self._bridges():
            host("ip", "link", "delete", bridge, check=False)

    def _bridges(self) -> list[str]:
        return [self._bridge(vlan) for vlan in sorted({vlan for vlans in self.vlans.values() for vlan in vlans})]

    def _bridge(self, vlan: int) -> str:
        return f"xb{self.run}-{vlan}"
