# One machine.
{ machines, ... }:
machines ./driver-comes-late.toml
