rec {
  inherit (builtins)
    attrNames
    attrValues
    isAttrs
    listToAttrs
    mapAttrs
    removeAttrs
    ;
  nameValuePair = name: value: { inherit name value; };
  genAttrs = names: make: listToAttrs (map (name: nameValuePair name (make name)) names);
  mapAttrsToList = change: set: map (name: change name set.${name}) (attrNames set);
  mapAttrs' = change: set: listToAttrs (mapAttrsToList change set);
  filterAttrs =
    keep: set:
    listToAttrs (
      builtins.concatMap (
        name: if keep name set.${name} then [ (nameValuePair name set.${name}) ] else [ ]
      ) (attrNames set)
    );
  optionalAttrs = condition: set: if condition then set else { };
  recursiveUpdate =
    old: new:
    old
    // mapAttrs (
      name: value:
      if isAttrs value && isAttrs (old.${name} or null) then recursiveUpdate old.${name} value else value
    ) new;
  collect =
    wanted: value:
    if wanted value then
      [ value ]
    else if isAttrs value then
      builtins.concatMap (collect wanted) (attrValues value)
    else
      [ ];
  isDerivation = value: value.type or null == "derivation";
}
