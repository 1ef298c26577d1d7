//! `exo config`.

use exo_service::{CommonArgs, configure};
use std::process::ExitCode;

/// Says whether it is good; 64 if not.
pub(crate) fn check(common: CommonArgs) -> ExitCode {
    only(CommonArgs { check_config: true, print_config: false, ..common })
}

/// Prints what is in effect.
pub(crate) fn print(common: CommonArgs) -> ExitCode {
    only(CommonArgs { print_config: true, ..common })
}

/// Prints docs/configuration.md.
pub(crate) fn reference() -> ExitCode {
    print!("{}", exo_config::reference());
    ExitCode::SUCCESS
}

fn only(common: CommonArgs) -> ExitCode {
    configure(&common).err().unwrap_or(ExitCode::SUCCESS)
}
