//! Io. Activations from rank to rank.
