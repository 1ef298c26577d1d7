//! What people read. A reader that is gone (`exo status | head -1`) ends the command quietly instead of by a panic.

use crate::error::CliError;
use std::fmt::Display;
use std::io::{self, Write};

/// One line.
pub(crate) fn say(line: impl Display) -> Result<(), CliError> {
    write(format_args!("{line}\n"))
}

/// Text as it is, at once.
pub(crate) fn write(text: impl Display) -> Result<(), CliError> {
    let mut output = io::stdout().lock();
    write!(output, "{text}").and_then(|()| output.flush()).map_err(failed)
}

fn failed(source: io::Error) -> CliError {
    match source.kind() {
        io::ErrorKind::BrokenPipe => CliError::NobodyReads,
        _ => CliError::System { what: "cannot write to standard output".to_owned(), source },
    }
}
