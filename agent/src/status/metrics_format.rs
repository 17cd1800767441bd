//! In which of its formats a scraper wants the metrics: what its Accept header prefers, and Prometheus' own where it does not
//! ask for OpenMetrics.

use skyferry_core::metrics::MetricsFormat;

/// OpenMetrics has to be named; `*/*` is anything that is understood everywhere.
pub(super) fn preferred(accept: &str) -> MetricsFormat {
    let weight = |names: &[&str]| {
        let ranges = accept.split(',').filter_map(|range| {
            let (name, parameters) = range.split_once(';').unwrap_or((range, ""));
            names.iter().any(|wanted| name.trim().eq_ignore_ascii_case(wanted)).then(|| quality(parameters))
        });
        ranges.fold(0.0, f64::max)
    };
    let open = weight(&["application/openmetrics-text"]);
    match open > 0.0 && open >= weight(&["text/plain", "text/*", "*/*"]) {
        true => MetricsFormat::OpenMetrics,
        false => MetricsFormat::Prometheus,
    }
}

fn quality(parameters: &str) -> f64 {
    let given = parameters.split(';').find_map(|parameter| parameter.trim().strip_prefix("q="));
    given.map_or(1.0, |given| given.trim().parse().unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scraper_gets_the_format_that_it_prefers() {
        let prometheus_2_42 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus_2_42, MetricsFormat::OpenMetrics),
            ("Application/OpenMetrics-Text", MetricsFormat::OpenMetrics),
            ("application/openmetrics-text;q=0.3, text/plain;q=0.7", MetricsFormat::Prometheus),
            ("application/openmetrics-text;q=0", MetricsFormat::Prometheus),
            ("application/openmetrics-text;q=much", MetricsFormat::Prometheus),
            ("*/*", MetricsFormat::Prometheus),
            ("text/html, text/plain", MetricsFormat::Prometheus),
            ("", MetricsFormat::Prometheus),
        ] {
            assert_eq!(preferred(accept), format, "{accept}");
        }
    }
}
