//! Service. The worker: makes its node match the State.

fn main() {}
