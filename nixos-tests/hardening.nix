# One machine.
{ machines, ... }:
machines ./hardening.toml
