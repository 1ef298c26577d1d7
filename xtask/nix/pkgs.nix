# Packages that are only names: each is a derivation, so that everything that goes into it is evaluated, and none is built.
{ lib, system }:
let
  made =
    name: inputs:
    derivation {
      inherit name system;
      builder = "/bin/sh";
      # What the real one would be made of.
      inputs = builtins.toJSON inputs;
    };
  package = name: version: made name { } // { inherit version name; };
  platform = of: {
    system = of;
    isLinux = true;
    isx86_64 = of == "x86_64-linux";
    canExecute = other: of == other.system;
  };
  toml = import ./toml.nix { inherit lib; };

  pkgs =
    lib.genAttrs [
      "bash"
      "cargo"
      "cargo-deny"
      "cargo-nextest"
      "clippy"
      "curl"
      "deadnix"
      "git"
      "iproute2"
      "mmdebstrap"
      "nixfmt-tree"
      "python3"
      "rdma-core"
      "rust-analyzer"
      "rustfmt"
    ] (name: package name "1.0")
    // {
      inherit lib;
      runtimeShell = "/bin/sh";
      rustc = package "rustc" "1.96.0";
      stdenv = {
        buildPlatform = platform system;
        hostPlatform = platform system;
      };
      pkgsCross.aarch64-multiplatform = pkgs // {
        stdenv = {
          buildPlatform = platform system;
          hostPlatform = platform "aarch64-linux";
        };
        buildPackages = pkgs;
      };
      buildPackages = pkgs;

      runCommand =
        name: arguments: script:
        made name {
          arguments = removeAttrs arguments [
            "passthru"
            "meta"
          ];
          inherit script;
        }
        // {
          inherit name script;
          meta = arguments.meta or { };
          version = arguments.version or "";
        }
        // arguments.passthru or { };
      writeText = name: text: made name { inherit text; } // { inherit name text; };
      linkFarm = name: entries: made name { inherit entries; } // { inherit name entries; };
      mkShell = arguments: made "shell" arguments;
      fetchurl = { url, hash }: made (baseNameOf url) { inherit url hash; };
      rustPlatform.buildRustPackage =
        arguments:
        made "${arguments.pname}-${arguments.version}" (
          removeAttrs arguments [
            "meta"
            "src"
          ]
          // {
            src = toString arguments.src;
          }
        )
        // {
          inherit (arguments) pname version meta;
        };
      formats.toml = _: {
        type = lib.types.anything // {
          description = "TOML value";
        };
        generate =
          name: value:
          made name { inherit value; }
          // {
            inherit name value;
            text = toml value;
          };
      };
      writeShellScriptBin = name: text: made name { inherit text; } // { inherit name text; };
      # Where nixpkgs has its files: one of them is asked for by name.
      path = ./.;
      testers.testBuildFailure = failing: made "failed-${failing.name}" { failing = "${failing}"; };
      testers.runNixOSTest =
        test:
        made "vm-test-${test.name}" {
          script = test.testScript;
          # Every machine's units.
          machines = lib.mapAttrs (
            name: machine:
            let
              nixosSystem = import ./nixos.nix {
                inherit lib;
                pkgsFor = _: pkgs;
              };
              evaluated = nixosSystem {
                inherit system;
                modules = [
                  machine
                  { networking.hostName = lib.mkDefault name; }
                ];
              };
            in
            builtins.attrNames evaluated.config.systemd.services
          ) test.nodes;
        };
    };
in
pkgs
