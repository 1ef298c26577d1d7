//! The findings as people read them.

use super::finding::{Finding, Severity};
use crate::table::{bold, dim};

/// The worst first, each with what to do.
pub(super) fn page(findings: &[Finding]) -> String {
    let of = |severity| findings.iter().filter(move |finding| finding.severity == severity);
    let mut text = String::new();
    for finding in of(Severity::Error).chain(of(Severity::Warning)) {
        text.push_str(&format!("{} {}\n", bold(&format!("{:7}", finding.severity)), finding.message));
        text.push_str(&format!("        {}\n", dim(&finding.remedy)));
    }
    let count = |severity, one: &str| match of(severity).count() {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    text.push_str(&match findings {
        [] => "Nothing stands in the way.\n".to_owned(),
        _ => format!("{}, {}.\n", count(Severity::Error, "error"), count(Severity::Warning, "warning")),
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_with_its_remedy() {
        let findings =
            [Finding::warning("clock", "it drifts", "start NTP"), Finding::error("ports", "taken", "free it")];
        let expect = "error   taken\n        free it\nwarning it drifts\n        start NTP\n1 error, 1 warning.\n";
        assert_eq!(page(&findings), expect);
        assert_eq!(page(&[]), "Nothing stands in the way.\n");
    }
}
