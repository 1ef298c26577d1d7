//! Io. The models on this machine: directories, cards read from files.
