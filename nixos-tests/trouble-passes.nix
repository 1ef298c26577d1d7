# One machine in trouble.
{ machines, ... }:
machines ./trouble-passes.toml
