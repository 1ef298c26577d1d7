# Three machines, of which the leading one loses its power.
{ machines, ... }:
machines ./leader-dies.toml
