//! What the log promises.

mod at_open;
mod cluster;
mod damage;
mod disk_trouble;
mod members;
mod offline;
mod one_master;
mod peers;
mod support;
