# What the modules make of options: units, files, rules.
{ lib }:
let
  # Something of the configuration that has to be as expected.
  is = what: expected: found: {
    inherit what;
    is = found;
    holds = found == expected;
  };
  has = what: part: found: {
    inherit what;
    is = found;
    holds = if builtins.isString found then lib.hasInfix part found else lib.elem part found;
  };
  units = config: config.systemd.services;
  worker = config: (units config).exo-worker.serviceConfig;
  settings = config: config.services.exo.settings;
  cidr = {
    openFirewall = true;
    interfaces = [ "eth1" ];
    allowedCIDRs = [
      "10.0.0.0/24"
      "fd00::/64"
    ];
  };
in
{
  "nothing but enable" = {
    options = { };
    gives = config: [
      (is "the three services run" [ true true true ] (
        map (role: (units config)."exo-${role}".enable) [
          "master"
          "worker"
          "api"
        ]
      ))
      (has "exo.target starts with the machine" "multi-user.target" config.systemd.targets.exo.wantedBy)
      (is "the port of the API" 52415 (settings config).api.port)
      (is "no key is asked for" false ((settings config).api ? keyFile))
      (is "the firewall" [ ] config.networking.firewall.allowedTCPPorts)
      (is "the user" true config.users.users.exo.isSystemUser)
      (is "the groups that units name" [ true true true ] (
        map (group: config.users.groups ? ${group}) [
          "exo"
          "render"
          "video"
        ]
      ))
      (is "the worker's memory" "80%" (worker config).MemoryMax)
      (is "nothing is applied" false (units config ? exo-apply))
    ];
  };
  "turned off" = {
    options.services.exo.enable = false;
    gives = config: [
      (is "no service" false (units config ? exo-worker))
      (is "no user" false (config.users.users ? exo))
    ];
  };
  "a worker" = {
    options.services.exo.mode = "worker";
    gives = config: [
      (is "no master" false (units config).exo-master.enable)
      (is "a worker" true (units config).exo-worker.enable)
      (is "the mode in the file" "worker" (settings config).mode)
    ];
  };
  "settings win" = {
    options.services.exo = {
      apiPort = 8080;
      settings.api.port = 8081;
    };
    gives = config: [ (is "the port" 8081 (settings config).api.port) ];
  };
  "a role of its own mind" = {
    options.services.exo = {
      security.configDir = "/etc/lab";
      roles.worker = {
        settings.engine.threads = 4;
        environment.EXO_LOGGING_LEVEL = "debug";
        extraArgs = [
          "--log-level"
          "two words"
        ];
      };
    };
    gives = config: [
      (is "the worker's file" "/etc/lab/exo-worker.toml" (units config).exo-worker.environment.EXO_CONFIG)
      (is "the master's file" "/etc/lab/exo.toml" (units config).exo-master.environment.EXO_CONFIG)
      (is "its environment" "debug" (units config).exo-worker.environment.EXO_LOGGING_LEVEL)
      (is "the unit's own command is taken back" "" (lib.head (worker config).ExecStart))
      (has "its arguments" "--log-level 'two words'" (lib.elemAt (worker config).ExecStart 1))
      (is "both files are there" true (
        config.environment.etc ? "lab/exo.toml" && config.environment.etc ? "lab/exo-worker.toml"
      ))
    ];
  };
  "secrets" = {
    options.services.exo = {
      api = {
        bind = "0.0.0.0";
        authTokenFile = "/run/secrets/keys";
      };
      security.joinTokenFile = "/run/secrets/token";
      credentials.hub = "/run/secrets/hub";
      environmentFiles = [ "/run/secrets/env" ];
      instances.guide.model = "exo-guide";
      metrics = {
        scrape = true;
        tokenFile = "/run/secrets/metrics";
      };
    };
    gives = config: [
      (is "the API's credentials" [
        "join-token:/run/secrets/token"
        "api-keys:/run/secrets/keys"
        "hub:/run/secrets/hub"
      ] (units config).exo-api.serviceConfig.LoadCredential)
      (is "the worker's credentials" [
        "join-token:/run/secrets/token"
        "hub:/run/secrets/hub"
      ] (worker config).LoadCredential)
      (is "where the API finds its keys" "/run/credentials/exo-api.service/api-keys"
        (settings config).api.keyFile
      )
      (is "whoever applies has a key" [
        "api-keys:/run/secrets/keys"
      ] (units config).exo-apply.serviceConfig.LoadCredential)
      (is "Prometheus asks here" "127.0.0.1:52415" (
        lib.head (lib.head (lib.head config.services.prometheus.scrapeConfigs).static_configs).targets
      ))
    ];
  };
  "HTTPS" = {
    options = {
      services.k3s.enable = true;
      services.exo = {
        api = {
          bind = "10.0.0.2";
          authTokenFile = "/run/secrets/keys";
          tls = {
            certificate = "/var/lib/acme/exo.example.org/fullchain.pem";
            key = "/var/lib/acme/exo.example.org/key.pem";
            serverName = "exo.example.org";
          };
        };
        instances.guide.model = "exo-guide";
        metrics = {
          scrape = true;
          tokenFile = "/run/secrets/metrics";
        };
        k3s = {
          integration = true;
          nodeAddress = "10.0.0.2";
          serviceMonitor.enable = true;
        };
      };
    };
    gives =
      config:
      let
        inherit (config.services.exo.k3s) manifests;
        scraped = lib.head config.services.prometheus.scrapeConfigs;
        monitored = lib.head manifests."50-exo-service-monitor".spec.endpoints;
      in
      [
        (is "where the API finds them" {
          certificate = "/run/credentials/exo-api.service/tls-certificate";
          key = "/run/credentials/exo-api.service/tls-key";
        } (settings config).api.tls)
        (is "the API's credentials" [
          "api-keys:/run/secrets/keys"
          "tls-certificate:/var/lib/acme/exo.example.org/fullchain.pem"
          "tls-key:/var/lib/acme/exo.example.org/key.pem"
        ] (units config).exo-api.serviceConfig.LoadCredential)
        (is "when it gets them anew" "credentials" (units config).exo-api.serviceConfig.RefreshOnReload)
        (is "nobody else has the key" false ((worker config) ? LoadCredential))
        (is "whoever applies knows the API" [
          "EXO_API_KEY_FILE=%d/api-keys"
          "EXO_API_TLS_CERTIFICATE=%d/tls-certificate"
        ] (units config).exo-apply.serviceConfig.Environment)
        (is "how Prometheus asks" "https" scraped.scheme)
        (is "whom it expects" "exo.example.org" scraped.tls_config.server_name)
        (is "what pods see" "https" (lib.head manifests."20-exo-service".spec.ports).name)
        (is "how the operator's Prometheus asks" "https" monitored.scheme)
        (is "at which port" "https" monitored.port)
        (is "whom that expects" "exo.example.org" monitored.tlsConfig.serverName)
      ];
  };
  "HTTPS with files that the API reads itself" = {
    options.services.exo = {
      settings.api.tls = {
        certificate = "/var/lib/acme/exo.example.org/fullchain.pem";
        key = "/var/lib/acme/exo.example.org/key.pem";
      };
      instances.guide.model = "exo-guide";
      metrics.scrape = true;
    };
    gives = config: [
      (is "where they are" "/var/lib/acme/exo.example.org/key.pem" (settings config).api.tls.key)
      (is "nothing is handed out" false ((units config).exo-api.serviceConfig ? LoadCredential))
      (is "but to whoever applies" [
        "tls-certificate:/var/lib/acme/exo.example.org/fullchain.pem"
      ] (units config).exo-apply.serviceConfig.LoadCredential)
      (is "how Prometheus asks" "https" (lib.head config.services.prometheus.scrapeConfigs).scheme)
    ];
  };
  "data elsewhere, as somebody else" = {
    options = {
      users.users.models = {
        isSystemUser = true;
        group = "models";
      };
      users.groups.models = { };
      services.exo.security = {
        dataDir = "/srv/exo";
        user = "models";
        group = "models";
      };
    };
    gives = config: [
      (is "the user of the worker" "models" (worker config).User)
      (is "exo's user is not made" false (config.users.users ? exo))
      (is "what the worker may write" [ "/srv/exo" ] (worker config).ReadWritePaths)
      (is "the mount that it waits for" [
        "/srv/exo"
      ] (units config).exo-worker.unitConfig.RequiresMountsFor)
      (is "the folder is made" "models" config.systemd.tmpfiles.settings.exo."/srv/exo".d.user)
    ];
  };
  "models and instances" = {
    options.services.exo = {
      models = {
        dirs = [ "/srv/models" ];
        files."m.gguf" = ./made.nix;
        preload = [ "m" ];
      };
      instances.guide = {
        model = "exo-guide";
        minNodes = 2;
        contextLength = 512;
      };
      instances.other = {
        model = "m";
        nodes = [ "attic" ];
        sharding = "tensor";
      };
    };
    gives = config: [
      (is "three folders" 3 (lib.length (settings config).models.dirs))
      (has "the folder of somebody" "/srv/models" (settings config).models.dirs)
      (is "what is placed" [ "m" ] (settings config).models.place)
      (has "what is applied" " --if-leader" (units config).exo-apply.serviceConfig.ExecStart)
    ];
  };
  "only those instances" = {
    options.services.exo = {
      instances.guide.model = "exo-guide";
      pruneInstances = true;
    };
    gives = config: [
      (has "what is applied" "--prune" (units config).exo-apply.serviceConfig.ExecStart)
    ];
  };
  "limits and pauses" = {
    options.services.exo = {
      resources = {
        memoryHigh = "70%";
        cpuWeight = 50;
      };
      restart.maxDelay = "5min";
      watchdog.sec = "10s";
      hardware.memoryLimit = null;
    };
    gives = config: [
      (is "the slice" {
        MemoryHigh = "70%";
        CPUWeight = 50;
      } config.systemd.slices.exo.sliceConfig)
      (is "the worker is in it" "exo.slice" (worker config).Slice)
      (is "its longest pause" "5min" (worker config).RestartMaxDelaySec)
      (is "its watchdog" "10s" (worker config).WatchdogSec)
      (is "no limit of its own" false (worker config ? MemoryMax))
    ];
  };
  "devices" = {
    options.services.exo.hardware = {
      cuda.devices = [
        "0"
        "2"
      ];
      rocm.overrideGfx = "11.0.0";
      extraDeviceAllow = [ "/dev/accel/accel0 rw" ];
      waitTimeout = 120;
    };
    gives = config: [
      (has "drivers are waited for" " hardware --wait 120 --write /run/exo/hardware.json" (
        lib.elemAt (units config).exo-hardware.serviceConfig.ExecStart 1
      ))
      (is "but not for ever" 180 (units config).exo-hardware.serviceConfig.TimeoutStartSec)
      (is "NVIDIA's" "0,2" (units config).exo-worker.environment.CUDA_VISIBLE_DEVICES)
      (is "AMD's" "11.0.0" (units config).exo-worker.environment.HSA_OVERRIDE_GFX_VERSION)
      (is "further ones" [ "/dev/accel/accel0 rw" ] (worker config).DeviceAllow)
    ];
  };

  "nothing is waited for" = {
    options.services.exo.hardware.autoDetect = false;
    gives = config: [ (is "the unit that waits" false (units config).exo-hardware.enable) ];
  };

  "soft-RoCE over Thunderbolt" = {
    options.services.exo.networking = {
      rdmaEnabled = true;
      rdma = {
        mode = "soft-roce";
        devices = [ "mlx5_0" ];
        softRoce.interfaces = [ "thunderbolt0" ];
        memlock = "64G";
        thunderbolt.enable = true;
      };
    };
    gives = config: [
      (has "the kernel's RDMA" "rdma_rxe" config.boot.kernelModules)
      (has "the cable" "thunderbolt-net" config.boot.kernelModules)
      (has "the device" "link add rxe-thunderbolt0 type rxe netdev thunderbolt0"
        (units config)."exo-soft-roce-thunderbolt0".serviceConfig.ExecStart
      )
      (has "it follows the card" "sys-subsystem-net-devices-thunderbolt0.device"
        (units config)."exo-soft-roce-thunderbolt0".bindsTo
      )
      (has "the worker waits" "sys-class-infiniband-mlx5_0.device" (units config).exo-worker.after)
      (has "udev tells of it" "KERNEL==\"mlx5_0\"" config.services.udev.extraRules)
      (is "what may be locked" "64G" (worker config).LimitMEMLOCK)
    ];
  };

  "ports on some interfaces" = {
    options.services.exo.networking = {
      openFirewall = true;
      interfaces = [ "eth1" ];
    };
    gives = config: [
      (is "everywhere" [ ] config.networking.firewall.allowedTCPPorts)
      (is "there" [ 52414 52417 52418 ] config.networking.firewall.interfaces.eth1.allowedTCPPorts)
      (is "discovery" [ 52416 ] config.networking.firewall.interfaces.eth1.allowedUDPPorts)
    ];
  };
  "ports for some networks, by iptables" = {
    options.services.exo.networking = cidr;
    gives = config: [
      (is "not for all" false (config.networking.firewall.interfaces ? eth1))
      (has "for IPv4"
        "iptables -A nixos-fw -i eth1 -s 10.0.0.0/24 -p tcp -m multiport --dports 52414,52417,52418,52420:52499 -j nixos-fw-accept"
        config.networking.firewall.extraCommands
      )
      (has "for IPv6"
        "ip6tables -A nixos-fw -i eth1 -s fd00::/64 -p udp -m multiport --dports 52416 -j nixos-fw-accept"
        config.networking.firewall.extraCommands
      )
    ];
  };
  "ports for some networks, by nftables" = {
    options = {
      networking.nftables.enable = true;
      services.exo.networking = cidr;
    };
    gives = config: [
      (has "for IPv4"
        "iifname \"eth1\" ip saddr { 10.0.0.0/24 } tcp dport { 52414, 52417, 52418, 52420-52499 } accept"
        config.networking.firewall.extraInputRules
      )
      (has "for IPv6" "iifname \"eth1\" ip6 saddr { fd00::/64 } udp dport { 52416 } accept"
        config.networking.firewall.extraInputRules
      )
    ];
  };
  "a bond by scripts" = {
    options.services.exo.networking = {
      openFirewall = true;
      bond = {
        enable = true;
        name = "bond0";
        interfaces = [
          "a"
          "b"
        ];
        mode = "802.3ad";
        lacpRate = "fast";
        mtu = 9000;
        addresses = [
          "10.0.0.2/24"
          "fd00::2/64"
        ];
      };
    };
    gives = config: [
      (is "its mode" "802.3ad" config.networking.bonds.bond0.driverOptions.mode)
      (is "its members" [ "a" "b" ] config.networking.bonds.bond0.interfaces)
      (is "its address" 24 (lib.head config.networking.interfaces.bond0.ipv4.addresses).prefixLength)
      (is "a member's MTU" 9000 config.networking.interfaces.a.mtu)
      (is "what others are told" "10.0.0.2" (settings config).networking.advertiseAddress)
      (is "ports on it" [ 52416 ] config.networking.firewall.interfaces.bond0.allowedUDPPorts)
      (has "the services wait for it" "sys-subsystem-net-devices-bond0.device"
        (units config).exo-master.after
      )
      (is "networkd is left alone" false config.systemd.network.enable)
    ];
  };
  "a bond by networkd" = {
    options = {
      networking.useNetworkd = true;
      networking.useDHCP = false;
      services.exo.networking.bond = {
        enable = true;
        interfaces = [
          "a"
          "b"
        ];
        primary = "a";
        dhcp = true;
      };
    };
    gives = config: [
      (is "its mode" "active-backup" config.systemd.network.netdevs."30-bond-exo".bondConfig.Mode)
      (is "the primary" true config.systemd.network.networks."30-a".networkConfig.PrimarySlave)
      (is "the other" false (config.systemd.network.networks."30-b".networkConfig ? PrimarySlave))
      (is "one leg is enough" "degraded-carrier:routable"
        config.systemd.network.networks."40-bond-exo".linkConfig.RequiredForOnline
      )
      (is "scripts are left alone" false (config.networking.bonds ? bond-exo))
      (has "the services wait for it" "sys-subsystem-net-devices-bond\\x2dexo.device"
        (units config).exo-api.after
      )
    ];
  };
  "a bond that is there" = {
    options.services.exo.networking.bondInterface = "bond7";
    gives = config: [
      (has "the services wait for it" "sys-subsystem-net-devices-bond7.device"
        (units config).exo-worker.wants
      )
      (is "nothing is made" false (config.networking.bonds ? bond7))
    ];
  };
  "a network namespace" = {
    options.services.exo.networking.netns = "cluster";
    gives = config: [
      (is "where the worker is" "/run/netns/cluster" (worker config).NetworkNamespacePath)
    ];
  };

  "k3s" = {
    options = {
      networking.hostName = "attic";
      services.k3s.enable = true;
      services.exo = {
        api = {
          bind = "10.0.0.2";
          authTokenFile = "/run/secrets/keys";
        };
        k3s = {
          integration = true;
          nodeAddress = "10.0.0.2";
          nodes.cellar = "fd00::3";
          serviceMonitor = {
            enable = true;
            tokenSecret = "exo-key";
          };
        };
      };
    };
    gives =
      config:
      let
        inherit (config.services.exo.k3s) manifests;
        slice = manifests."30-exo-endpoints-attic";
      in
      [
        (is "what there is" [
          "00-exo-namespace"
          "10-exo-service-account"
          "20-exo-service"
          "30-exo-endpoints-attic"
          "30-exo-endpoints-cellar"
          "40-exo-network-policy"
          "50-exo-service-monitor"
        ] (lib.attrNames manifests))
        (is "k3s has it" (lib.attrNames manifests) (
          lib.filter (lib.hasInfix "-exo-") (lib.attrNames config.services.k3s.manifests)
        ))
        (is "no selector" false (manifests."20-exo-service".spec ? selector))
        (is "whose it is" "exo" slice.metadata.labels."kubernetes.io/service-name")
        (is "the address" [ "10.0.0.2" ] (lib.head slice.endpoints).addresses)
        (is "the other's family" "IPv6" manifests."30-exo-endpoints-cellar".addressType)
        (is "pods come in" [ 52415 ] config.networking.firewall.interfaces.cni0.allowedTCPPorts)
      ];
  };
}
