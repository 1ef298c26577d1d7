//! Io. A node's key and certificate, and the authority of its cluster.
//! Knows nothing of the bus, the log or State.
