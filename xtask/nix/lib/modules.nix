# The module system: declarations and definitions of many files, merged by the types of the options.
lib:
let
  inherit (builtins)
    attrNames
    concatMap
    concatStringsSep
    elem
    foldl'
    head
    isAttrs
    isFunction
    length
    mapAttrs
    ;
  inherit (lib) isOption;

  # --- modules ---

  load =
    args: module:
    if builtins.isPath module || builtins.isString module then
      load args (import module) // { key = toString module; }
    else if isFunction module then
      load args (module args)
    else
      let
        isStructured = module ? config || module ? options;
        rest = removeAttrs module [
          "imports"
          "key"
          "_file"
        ];
      in
      {
        key = module.key or null;
        imports = module.imports or [ ];
        options = if isStructured then module.options or { } else { };
        config = if isStructured then module.config or { } else rest;
      };

  # Each file once, however often it is imported.
  gather =
    args: modules:
    (foldl' (visit args) {
      keys = [ ];
      modules = [ ];
    } modules).modules;
  visit =
    args: seen: module:
    let
      loaded = load args module;
      self = {
        keys = seen.keys ++ lib.optional (loaded.key != null) loaded.key;
        modules = seen.modules ++ [ loaded ];
      };
    in
    if loaded.key != null && elem loaded.key seen.keys then
      seen
    else
      foldl' (visit args) self loaded.imports;

  # --- declarations ---

  name = loc: concatStringsSep "." loc;
  declare =
    loc: trees:
    let
      names = lib.unique (concatMap attrNames trees);
      of =
        part:
        let
          found = map (tree: tree.${part}) (builtins.filter (tree: tree ? ${part}) trees);
          path = loc ++ [ part ];
        in
        if !(isOption (head found)) then
          declare path found
        else if length found == 1 then
          head found // { loc = path; }
        else
          throw "The option `${name path}' is declared twice.";
    in
    lib.genAttrs names of;

  # --- definitions ---

  # mkIf, mkMerge and mkOverride around a set, moved to each of its attributes, so that names are known before conditions.
  push =
    value:
    if !(isAttrs value) then
      throw "a definition is ${builtins.typeOf value}, where there are further options"
    else if value._type or null == "merge" then
      concatMap push value.contents
    else if value._type or null == "if" then
      map (mapAttrs (_: lib.mkIf value.condition)) (push value.content)
    else if value._type or null == "override" then
      map (mapAttrs (_: lib.mkOverride value.priority)) (push value.content)
    else
      [ value ];

  # Values with their priorities; conditions that do not hold are gone.
  discharge =
    value:
    if !(isAttrs value) then
      [
        {
          priority = 100;
          inherit value;
        }
      ]
    else if value._type or null == "merge" then
      concatMap discharge value.contents
    else if value._type or null == "if" then
      if value.condition then discharge value.content else [ ]
    else if value._type or null == "override" then
      # What is inside is looked at when it wins only: a default may not evaluate where it is not used.
      [
        {
          inherit (value) priority;
          value = value.content;
        }
      ]
    else
      [
        {
          priority = 100;
          inherit value;
        }
      ];

  strongest =
    found:
    let
      best = foldl' (least: one: if one.priority < least then one.priority else least) 9999 found;
    in
    map (one: one.value) (builtins.filter (one: one.priority == best) found);

  # One value of a type from all its definitions.
  merge =
    loc: type: definitions:
    let
      values = strongest (concatMap discharge definitions);
      bad = builtins.filter (value: !(type.check value)) values;
    in
    if values == [ ] then
      type.emptyValue or (throw "The option `${name loc}' is used but not defined.")
    else if bad != [ ] then
      throw "A definition for option `${name loc}' is not of type `${type.description}'."
    else
      type.merge loc values;

  evaluate =
    option: definitions:
    let
      isSet = concatMap discharge definitions != [ ];
      all = definitions ++ lib.optional (option ? default) (lib.mkOptionDefault option.default);
      value = merge option.loc option.type all;
    in
    if option.readOnly or false && length definitions > 1 then
      throw "The option `${name option.loc}' is read-only, but it's set multiple times."
    else if !isSet && !(option ? default) && !(option.type ? emptyValue) then
      throw "The option `${name option.loc}' is used but not defined."
    else
      (option.apply or (value: value)) value;

  define =
    loc: options: definitions:
    let
      sets = concatMap push definitions;
      of = part: map (set: set.${part}) (builtins.filter (set: set ? ${part}) sets);
      unknown = builtins.filter (part: !(options ? ${part})) (concatMap attrNames sets);
      values = mapAttrs (
        part: option:
        if isOption option then evaluate option (of part) else define (loc ++ [ part ]) option (of part)
      ) options;
    in
    if unknown != [ ] then
      throw "The option `${name (loc ++ [ (head unknown) ])}' does not exist."
    else
      values;

  evalModules =
    {
      modules,
      specialArgs ? { },
      prefix ? [ ],
    }:
    let
      args = specialArgs // {
        inherit lib config options;
      };
      gathered = gather args modules;
      options = declare prefix (map (module: module.options) gathered);
      config = define prefix options (map (module: module.config) gathered);
    in
    {
      inherit config options;
    };
in
{
  __functor = _: evalModules;
  inherit merge push;
}
