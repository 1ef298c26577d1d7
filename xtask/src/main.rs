//! Test. The project's own chores: checks, benches, conformance.

fn main() {}
