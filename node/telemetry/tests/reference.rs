//! The reference page of the metrics is what the program says of them. `UPDATE_REFERENCE=1` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

use dspex_telemetry::{Description, Kind, names};

const PAGE: &str = "docs/src/reference/metrics.md";

#[test]
fn the_page_says_what_the_table_says() {
    let page = page();
    // Asked now, not when this was built: checkouts may share what they build.
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("run by cargo");
    let path = Path::new(&package).join("../..").join(PAGE);
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &page).expect("a page that can be written");
    }
    let written = std::fs::read_to_string(&path).expect("the page");
    assert!(written == page, "{PAGE} is out of date: run this test with UPDATE_REFERENCE=1");
}

fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What a node tells Prometheus. Durations are in seconds, also where older documents say milliseconds. A label takes at most 100\n\
         distinct values; later ones are counted under `other`.\n\n",
    );
    let reserved: BTreeSet<&str> = names::reserved().map(|metric| metric.name).collect();
    rows(&mut page, names::table().filter(|metric| !reserved.contains(metric.name)));
    page.push_str(
        "\n## Reserved\n\n\
         Nothing is recorded of these yet. Single calls of language models and their cache will be seen by the gateway, blobs come\n\
         with clusters.\n\n",
    );
    rows(&mut page, names::reserved());
    page
}

fn rows(page: &mut String, metrics: impl Iterator<Item = &'static Description>) {
    page.push_str("| Metric | Name in Prometheus | Type | Unit | Labels | Says |\n|---|---|---|---|---|---|\n");
    for metric in metrics {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {kind} | {} | {} | {} |",
            metric.name,
            metric.exposed,
            metric.unit,
            labels.join(", "),
            metric.help
        );
    }
}
