//! Io. Runner processes: start, confine, talk to, kill.
