//! One target under libFuzzer: `EXO_FUZZ_TARGET` names it, libFuzzer reads the arguments.

#![no_main]

use exo_fuzz::Target;
use libfuzzer_sys::fuzz_target;
use std::panic;
use std::sync::LazyLock;
use std::thread;

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = std::env::var("EXO_FUZZ_TARGET").unwrap_or_default();
    exo_fuzz::target(&name).unwrap_or_else(|| panic!("EXO_FUZZ_TARGET is {name:?}, which is no target"))
});

/// A panic ends the program, also one that somebody would catch. Those of the compiler of grammars, on its own threads, are
/// expected and caught: the target sees what comes of them.
fn hook() {
    let ends = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if thread::current().name() != Some("grammar") {
            ends(panic);
        }
    }));
}

fuzz_target!(init: hook(), |bytes: &[u8]| (TARGET.run)(bytes));
