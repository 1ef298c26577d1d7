# One machine.
{ machines, ... }:
machines ./runner-scope.toml
