//! Pure. The one configuration file: its keys, defaults, checks and overrides.
