//! Durations and amounts of memory as text.

use exo_types::Memory;
use std::time::Duration;

const DURATIONS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
const AMOUNTS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// `250ms`, `10s`, `10m`, `1h`: a whole number and a unit.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    parse(text, &DURATIONS).map(Duration::from_millis)
}

/// `512 MiB`, `2GiB`, `100B`: a whole number and a unit.
pub(crate) fn parse_memory(text: &str) -> Option<Memory> {
    parse(text, &AMOUNTS).map(Memory::bytes)
}

/// In the largest unit that divides it.
pub(crate) fn print_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let largest = DURATIONS.iter().rev().find(|(_, factor)| millis != 0 && millis.is_multiple_of(*factor));
    let (unit, factor) = largest.unwrap_or(&("s", 1_000));
    format!("{}{unit}", millis / factor)
}

/// In the largest unit that divides it.
pub(crate) fn print_memory(memory: Memory) -> String {
    let bytes = memory.in_bytes;
    let largest = AMOUNTS.iter().find(|(_, factor)| bytes != 0 && bytes.is_multiple_of(*factor));
    let (unit, factor) = largest.unwrap_or(&("B", 1));
    format!("{} {unit}", bytes / factor)
}

fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_amounts_read_what_they_print() {
        for text in ["250ms", "10s", "10m", "90s", "1h"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(print_duration(duration), text);
        }
        for text in ["2 MiB", "512 MiB", "3 GiB", "1 B", "1025 B"] {
            let memory = parse_memory(text).expect(text);
            assert_eq!(print_memory(memory), text);
        }
        assert_eq!(print_duration(Duration::ZERO), "0s");
        assert_eq!(parse_memory("2GiB"), Some(Memory::bytes(2 << 30)));
    }

    #[test]
    fn a_number_without_a_unit_or_a_negative_one_is_none() {
        for text in ["", "10", "s", "-1s", "1.5s", "10 parsecs", "99999999999999999999s", "9999999999999999999h"] {
            assert_eq!(parse_duration(text), None, "{text:?}");
        }
        for text in ["", "10", "10MB", "-1 B", "99999999999 TiB"] {
            assert_eq!(parse_memory(text), None, "{text:?}");
        }
    }
}
