//! Io. The durable log of events.
