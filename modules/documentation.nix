# docs/options.md, from the options themselves. `cargo xtask nix --write` renews the page; `nix flake check` compares it.
{ lib, options }:
let
  inherit (lib)
    concatMapStrings
    concatMapStringsSep
    concatStringsSep
    mapAttrsToList
    ;

  # As it would be written in a configuration.
  show =
    value:
    if lib.isAttrs value && value ? text && value ? _type then
      oneLine value.text
    else if lib.isList value then
      if value == [ ] then "[ ]" else "[ ${concatMapStringsSep " " show value} ]"
    else if lib.isAttrs value then
      if value == { } then
        "{ }"
      else
        "{ ${
          concatStringsSep " " (mapAttrsToList (name: inner: "${quoted name} = ${show inner};") value)
        } }"
    else if value == null then
      "null"
    else if lib.isString value then
      "\"${lib.replaceStrings [ "\\" "\"" ] [ "\\\\" "\\\"" ] value}\""
    else
      builtins.toJSON value;
  quoted =
    name: if builtins.match "[A-Za-z_][A-Za-z0-9_-]*" name != null then name else "\"${name}\"";
  words = text: lib.filter (word: lib.isString word && word != "") (builtins.split "[ \n]+" text);
  oneLine = text: concatStringsSep " " (words text);

  # An option, and those of what it holds: an instance's, for example.
  flatten =
    path: tree:
    lib.concatLists (
      mapAttrsToList (
        name: option:
        let
          here = path ++ [ name ];
        in
        if !(lib.isOption option) then
          flatten here option
        else
          [ { inherit here option; } ] ++ flatten here (inner here option)
      ) (removeAttrs tree [ "_module" ])
    );
  inner = here: option: option.type.getSubOptions here;

  entry =
    { here, option }:
    let
      facts = [
        "type: ${oneLine option.type.description}"
      ]
      ++ lib.optional (option ? default || option ? defaultText) (
        "default: `${show (option.defaultText or option.default)}`"
      )
      ++ lib.optional (option.readOnly or false) "read-only"
      ++ lib.optional (option ? example) "example: `${show option.example}`";
    in
    ''

      ### `${concatStringsSep "." here}`
      ${oneLine option.description}

      ${concatMapStrings (fact: "- ${fact}\n") facts}'';
in
''
  # Options of `services.exo`

  What the NixOS modules of exo can be told, and what each of them does where nothing is said. How to use them:
  [nixos.md](nixos.md). A key that is named is one of exo.toml, and stands in [configuration.md](configuration.md); keys
  without an option of their own are set with `services.exo.settings`.

  This page is generated from the options: `cargo xtask nix --write`.
''
+ concatMapStrings entry (flatten [ ] options.services.exo)
