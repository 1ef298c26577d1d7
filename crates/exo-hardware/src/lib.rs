//! Io. What this machine has: processors, memory, addresses.
