//! How long tasks wait for what they need (PSI).

use crate::Sysfs;
use serde::Serialize;

/// Shares of the last ten seconds in percent, of each resource; nothing where the kernel does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Pressure {
    /// Processors.
    pub cpu: Option<Stall>,
    /// Memory.
    pub memory: Option<Stall>,
    /// Disks.
    pub io: Option<Stall>,
}

/// Shares of time in percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Stall {
    /// In which at least one task waited.
    pub some: f32,
    /// In which all of them did.
    pub full: f32,
}

impl Pressure {
    /// Asks the kernel.
    pub fn read(sysfs: &Sysfs) -> Self {
        let of = |name: &str| sysfs.read(&format!("/proc/pressure/{name}")).ok().and_then(|text| parse(&text));
        Self { cpu: of("cpu"), memory: of("memory"), io: of("io") }
    }
}

/// `some avg10=0.12 avg60=0.00 avg300=0.00 total=123`, and the same for `full`.
fn parse(text: &str) -> Option<Stall> {
    let share = |kind: &str| {
        let line = text.lines().find(|line| line.split_whitespace().next() == Some(kind))?;
        let value = line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
        value.parse::<f32>().ok().filter(|share| (0.0..=100.0).contains(share))
    };
    Some(Stall { some: share("some")?, full: share("full").unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_last_ten_seconds_are_read() {
        let check = |text: &str, expect: Option<(f32, f32)>| {
            assert_eq!(parse(text).map(|stall| (stall.some, stall.full)), expect, "{text:?}");
        };
        check(
            "some avg10=1.50 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.25 avg60=0 avg300=0 total=1\n",
            Some((1.5, 0.25)),
        );
        check("some avg10=1.50 avg60=0.00 avg300=0.00 total=7\n", Some((1.5, 0.0)));
        check("some avg10=-1\n", None);
        check("some avg10=NaN\n", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(some |full |avg10=|\\PC|\n){0,40}") {
            parse(&text);
        }
    }
}
