# One machine with nothing but `services.exo.enable = true` and the guide model placed; later a second one.
{ machines, ... }:
machines ./single-node.toml
