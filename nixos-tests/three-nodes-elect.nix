# Three machines that become one cluster.
{ machines, ... }:
machines ./three-nodes-elect.toml
