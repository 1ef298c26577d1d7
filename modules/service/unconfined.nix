# Takes back the confinement that the units of packaging/systemd put the services under.
{
  CapabilityBoundingSet = "~";
  NoNewPrivileges = false;
  LockPersonality = false;
  MemoryDenyWriteExecute = false;
  PrivateTmp = false;
  PrivateUsers = false;
  PrivateDevices = false;
  PrivateMounts = false;
  ProtectSystem = false;
  ProtectHome = false;
  ProtectClock = false;
  ProtectHostname = false;
  ProtectControlGroups = false;
  ProtectKernelLogs = false;
  ProtectKernelModules = false;
  ProtectKernelTunables = false;
  ProtectProc = "default";
  ProcSubset = "all";
  RestrictNamespaces = false;
  RestrictRealtime = false;
  RestrictSUIDSGID = false;
  RestrictAddressFamilies = "";
  SystemCallArchitectures = "";
  SystemCallFilter = "";
  DevicePolicy = "auto";
}
