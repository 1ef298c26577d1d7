# TOML as exo reads it, for the tests that give what the modules made to exo's own programs.
{ lib }:
let
  inherit (builtins)
    attrNames
    isAttrs
    isList
    toJSON
    ;
  inherit (lib) concatMapStrings filter;
  key = name: if builtins.match "[A-Za-z0-9_-]+" name != null then name else toJSON name;
  plain =
    value:
    if isList value then
      "[${lib.concatMapStringsSep ", " plain value}]"
    else if isAttrs value then
      "{ ${
        lib.concatStringsSep ", " (lib.mapAttrsToList (name: inner: "${key name} = ${plain inner}") value)
      } }"
    else
      toJSON value;
  table =
    path: value:
    let
      names = attrNames value;
      isTable = name: isAttrs value.${name};
      here = filter (name: !(isTable name)) names;
      head =
        lib.optionalString (path != [ ] && here != [ ])
          "\n[${lib.concatMapStringsSep "." key path}]\n";
    in
    head
    + concatMapStrings (name: "${key name} = ${plain value.${name}}\n") here
    + concatMapStrings (name: table (path ++ [ name ]) value.${name}) (filter isTable names);
in
table [ ]
