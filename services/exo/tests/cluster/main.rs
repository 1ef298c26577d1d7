//! Real processes on this machine: what a user sees when parts of a cluster die, hang, leave or are started wrongly.
//!
//! Every test has its own namespace, ports and data directories. Nothing here sleeps: it waits for what it wants to see.

mod bad_input;
mod client;
mod demo;
mod doctor;
mod faults;
mod identity;
mod issues;
mod machines;
mod node;
mod operator;
mod pipeline;
mod tensor;
mod tls;
mod walk_through;
