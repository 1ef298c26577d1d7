# How the services run: what they may use, when they are started again.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  limit =
    {
      type,
      example,
      property,
      description,
    }:
    mkOption {
      type = types.nullOr type;
      default = null;
      inherit example;
      description = "${description} `${property}` of `exo.slice`, which all of exo runs in.";
    };
  amount = types.either types.ints.positive types.str;
in
{
  options.services.exo = {
    resources = {
      memoryHigh = limit {
        type = amount;
        example = "80%";
        property = "MemoryHigh";
        description = "Memory beyond which exo is slowed down.";
      };
      memoryMax = limit {
        type = amount;
        example = "90%";
        property = "MemoryMax";
        description = "Memory beyond which the kernel ends processes of exo.";
      };
      cpuWeight = limit {
        type = types.ints.between 1 10000;
        example = 50;
        property = "CPUWeight";
        description = "Share of the processors under contention; everything else has 100.";
      };
      cpuQuota = limit {
        type = types.str;
        example = "800%";
        property = "CPUQuota";
        description = "Most processor time; 100% is one core.";
      };
      ioWeight = limit {
        type = types.ints.between 1 10000;
        example = 50;
        property = "IOWeight";
        description = "Share of the disks under contention; everything else has 100.";
      };
      tasksMax = limit {
        type = types.ints.positive;
        example = 4096;
        property = "TasksMax";
        description = "Most threads and processes.";
      };
    };

    restart = {
      sec = mkOption {
        type = types.str;
        default = "250ms";
        example = "1s";
        description = "Pause before a service that ended is started again, the first time.";
      };
      steps = mkOption {
        type = types.ints.positive;
        default = 8;
        example = 4;
        description = "In so many steps the pause grows to `restart.maxDelay`.";
      };
      maxDelay = mkOption {
        type = types.str;
        default = "30s";
        example = "5min";
        description = "Longest pause before a service that ended is started again.";
      };
    };

    watchdog.sec = mkOption {
      type = types.str;
      default = "30s";
      example = "10s";
      description = "A service that shows no sign of life for so long is ended and started again; `0` never.";
    };
  };
}
