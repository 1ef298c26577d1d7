//! Numbers for Prometheus and what reads its text, made anew for whoever asks: they are counted where they happen.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::render`]: OpenMetrics, which Prometheus asks for first.
pub const METRICS_MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Names and values that tell the members of a family apart.
type Labels = Vec<(String, String)>;

/// All that one answer tells.
#[derive(Debug, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// What only grows. `name` is without `_total`, which the text gets.
    pub fn counter(&mut self, name: &str, help: &str, value: u64) {
        let counter = Counter::<u64>::default();
        counter.inc_by(value);
        self.registry.register(name, help, counter);
    }

    /// The same for each member of a family: its labels, in the order of `labels`, and its value.
    pub fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        members: impl IntoIterator<Item = ([String; N], u64)>,
    ) {
        let family = Family::<Labels, Counter<u64>>::default();
        for (values, value) in members {
            family.get_or_create(&pairs(labels, values)).inc_by(value);
        }
        self.registry.register(name, help, family);
    }

    /// What goes up and down.
    pub fn gauge(&mut self, name: &str, help: &str, value: u64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.registry.register(name, help, gauge);
    }

    /// The same for each member of a family.
    pub fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: [&str; N],
        members: impl IntoIterator<Item = ([String; N], u64)>,
    ) {
        let family = Family::<Labels, Gauge<i64>>::default();
        for (values, value) in members {
            family.get_or_create(&pairs(labels, values)).set(i64::try_from(value).unwrap_or(i64::MAX));
        }
        self.registry.register(name, help, family);
    }

    /// As text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

fn pairs<const N: usize>(labels: [&str; N], values: [String; N]) -> Labels {
    labels.into_iter().map(str::to_owned).zip(values.iter().map(|value| escaped(value))).collect()
}

/// As OpenMetrics wants it, and the encoder does not do it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_the_text_that_prometheus_reads() {
        let mut metrics = Metrics::default();
        metrics.counter("exo_events", "Events", 7);
        metrics.gauge("exo_nodes", "Nodes", 3);
        let members = [(["bus".to_owned(), "a \"b\"\\\n".to_owned()], 2)];
        metrics.counters("exo_refusals", "Refusals", ["part", "reason"], members);
        metrics.gauges("exo_lag", "Lag", ["node"], [(["a".to_owned()], u64::MAX)]);
        let text = metrics.render();
        for line in [
            "# TYPE exo_events counter",
            "exo_events_total 7",
            "exo_nodes 3",
            r#"exo_refusals_total{part="bus",reason="a \"b\"\\\n"} 2"#,
            r#"exo_lag{node="a"} 9223372036854775807"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }
}
