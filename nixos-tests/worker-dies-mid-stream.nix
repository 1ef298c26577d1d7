# Two machines that hold one model together; a worker and a runner of one of them die.
{ machines, ... }:
machines ./worker-dies-mid-stream.toml
