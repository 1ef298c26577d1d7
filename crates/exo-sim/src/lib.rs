//! Test. A whole cluster in one process: one seed, virtual time, faults, invariants.
//! Knows nothing of real clocks, disks or sockets.
