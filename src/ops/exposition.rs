//! Metric families in Prometheus's text format, made from values that others counted.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Encoder, TextEncoder};

pub(super) const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// Families in the order in which they were added.
#[derive(Default)]
pub(super) struct Exposition {
    families: Vec<MetricFamily>,
}

/// One label with a value of a closed set.
type Label = (&'static str, &'static str);

impl Exposition {
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        let mut metric = Metric::default();
        metric.set_gauge(gauge);
        self.family(name, help, MetricType::GAUGE, vec![metric]);
    }

    /// One gauge for each media worker, of which a host has as many as cores.
    pub(super) fn per_worker(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = f64>) {
        let metrics = values.into_iter().enumerate().map(|(worker, value)| {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            let mut label = LabelPair::default();
            label.set_name("worker".to_owned());
            label.set_value(worker.to_string());
            let mut metric = Metric::default();
            metric.set_gauge(gauge);
            metric.set_label(vec![label]);
            metric
        });
        let metrics = metrics.collect();
        self.family(name, help, MetricType::GAUGE, metrics);
    }

    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.counters(name, help, [(None, value)]);
    }

    /// One counter per label value.
    pub(super) fn labelled(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Label, u64)>) {
        self.counters(name, help, values.into_iter().map(|(label, value)| (Some(label), value)));
    }

    /// `buckets` are upper bounds and the number of values in each, not cumulative; `beyond` holds the rest.
    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        buckets: impl IntoIterator<Item = (f64, u64)>,
        beyond: u64,
        sum: f64,
    ) {
        let mut cumulative = 0;
        let buckets = buckets.into_iter().map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(bound);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let buckets = buckets.collect();
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(cumulative + beyond);
        histogram.set_sample_sum(sum);
        let mut metric = Metric::default();
        metric.set_histogram(histogram);
        self.family(name, help, MetricType::HISTOGRAM, vec![metric]);
    }

    pub(super) fn render(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.families, &mut text)?;
        Ok(text)
    }

    fn counters(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = (Option<Label>, u64)>) {
        let metrics = values.into_iter().map(|(label, value)| {
            let mut counter = Counter::default();
            counter.set_value(value as f64);
            let mut metric = Metric::default();
            metric.set_counter(counter);
            metric.set_label(label.map(pair).into_iter().collect());
            metric
        });
        let metrics = metrics.collect();
        self.family(name, help, MetricType::COUNTER, metrics);
    }

    fn family(&mut self, name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) {
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

fn pair((name, value): Label) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_written_in_the_text_format() {
        let mut exposition = Exposition::default();
        exposition.gauge("a", "An a.", 2.0);
        exposition.per_worker("w", "Ws.", [0.5, 0.25]);
        exposition.labelled("b_total", "Bs.", [(("kind", "x"), 1), (("kind", "y"), 0)]);
        exposition.histogram("c_seconds", "Cs.", [(0.1, 2), (0.5, 1)], 4, 9.5);
        let text = String::from_utf8(exposition.render().unwrap()).unwrap();
        let expected = "\
# HELP a An a.
# TYPE a gauge
a 2
# HELP w Ws.
# TYPE w gauge
w{worker=\"0\"} 0.5
w{worker=\"1\"} 0.25
# HELP b_total Bs.
# TYPE b_total counter
b_total{kind=\"x\"} 1
b_total{kind=\"y\"} 0
# HELP c_seconds Cs.
# TYPE c_seconds histogram
c_seconds_bucket{le=\"0.1\"} 2
c_seconds_bucket{le=\"0.5\"} 3
c_seconds_bucket{le=\"+Inf\"} 7
c_seconds_sum 9.5
c_seconds_count 7
";
        assert_eq!(text, expected);
    }
}
