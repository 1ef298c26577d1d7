# Three machines, one of which loses its network.
{ machines, ... }:
machines ./partition.toml
