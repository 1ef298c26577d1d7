//! Masters with workers and an api over the memory bus, under paused time.

mod cluster {
    mod admission;
    mod harness;
    mod issues;
    mod one_master;
    mod sessions;
    mod several_masters;
    mod workers;
}
