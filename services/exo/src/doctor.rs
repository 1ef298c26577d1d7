//! `exo doctor`: whether exo can run here as it is configured.
//!
//! [`gather`](gather) looks at the machine and changes nothing; [`checks`] judge what was found, and are pure.

mod checks;
mod facts;
mod finding;
mod gather;
mod page;

use crate::error::finish;
use crate::output::{say, write};
use clap::{Args, ValueEnum};
use exo_service::{CommonArgs, ConfigurationError, read_configuration};
use finding::{Finding, Severity};
use serde_json::json;
use std::process::ExitCode;

/// There are warnings, and they were to count.
const WARNINGS: u8 = 1;
/// Something keeps exo from working.
const ERRORS: u8 = 2;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    common: CommonArgs,
    /// As JSON: a list of severity, check, message and remedy
    #[arg(long)]
    json: bool,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
    /// Only what would prevent that service from starting now, one line for each; it is asked so by its unit
    ///
    /// A wrong configuration is left to the service itself, which ends with 64 and is not started again.
    #[arg(long, value_enum, value_name = "SERVICE", conflicts_with_all = ["json", "strict"])]
    unit: Option<Unit>,
}

/// A service that asks before it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Unit {
    Master,
    Worker,
    Api,
}

/// Looks, judges, tells.
pub(crate) fn run(args: &DoctorArgs) -> ExitCode {
    match read_configuration(&args.common) {
        Ok(configuration) => match gather::gather(&configuration, args.unit) {
            Ok(facts) => tell(args, checks::all(&facts, args.unit)),
            Err(error) => finish(Err(error)),
        },
        Err(error) if args.unit.is_some() => {
            eprintln!("{error}");
            ExitCode::SUCCESS
        }
        Err(error) => tell(args, configuration_findings(&error)),
    }
}

/// Without a configuration nothing else can be asked.
fn configuration_findings(error: &ConfigurationError) -> Vec<Finding> {
    let remedy = "`exo config reference` lists every key";
    error.to_string().lines().map(|line| Finding::error("configuration", line, remedy)).collect()
}

fn tell(args: &DoctorArgs, findings: Vec<Finding>) -> ExitCode {
    let told = match (args.unit, args.json) {
        (Some(_), _) => {
            for finding in &findings {
                eprintln!("{finding}");
            }
            Ok(())
        }
        (None, true) => say(format_args!("{:#}", json!(findings))),
        (None, false) => write(page::page(&findings)),
    };
    match told {
        Ok(()) => code(&findings, args.strict),
        Err(error) => finish(Err(error)),
    }
}

fn code(findings: &[Finding], strict: bool) -> ExitCode {
    match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Error) => ExitCode::from(ERRORS),
        Some(Severity::Warning) if strict => ExitCode::from(WARNINGS),
        Some(Severity::Warning) | None => ExitCode::SUCCESS,
    }
}
