//! What the environment asks of telemetry. Reading it never fails: a value that makes no sense becomes a warning.

mod headers;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

pub(crate) use headers::Headers;

/// What is logged where nobody says otherwise.
pub const LOG_FILTER_DEFAULT: &str = "info,openraft=error,ractor_cluster=error";
/// `service.name` where nobody says otherwise.
pub const SERVICE_NAME_DEFAULT: &str = "dspex";

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const SAMPLERS: &[&str] = &[
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
const QUEUE_SPANS_DEFAULT: usize = 2048;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Settings of [`crate::Telemetry::start`].
#[derive(Clone, Debug)]
pub struct Settings {
    /// Which events are logged, in the language of `RUST_LOG`.
    pub log_filter: String,
    /// How they are written.
    pub log_format: LogFormat,
    /// Whether levels are painted; for the pretty format only.
    pub color: bool,
    /// The resource that spans come from, `service.name` among its attributes.
    pub resource: BTreeMap<String, String>,
    /// Where spans go; without it nothing is exported and spans cost next to nothing.
    pub traces: Option<TraceSettings>,
    /// What could not be understood; logged after the start.
    pub warnings: Vec<String>,
}

/// Where and how spans are exported.
#[derive(Clone, Debug)]
pub struct TraceSettings {
    /// The whole URL that spans are posted to.
    pub endpoint: String,
    /// Headers of each request. They are secret: see [`Headers`].
    pub(crate) headers: Headers,
    /// How many spans may wait; more are dropped and counted.
    pub queue_spans: usize,
    /// How long a request may take, with what is tried again.
    pub timeout: Duration,
}

impl Settings {
    /// Reads the variables of this process.
    ///
    /// | Variable | Means |
    /// |---|---|
    /// | `RUST_LOG` | what is logged |
    /// | `LOG_LEVEL` | `trace`, `debug`, `info`, `warn`, `error`, `fatal` or `off`, where `RUST_LOG` is not set |
    /// | `LOG_FORMAT`, `PRETTY_LOGS` | `json` or `pretty`; true or false. The first one wins |
    /// | `NO_COLOR` | no colours, which otherwise are used on a terminal |
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` | where spans go; without either nowhere |
    /// | `ENABLE_TRACING`, `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` | false, true or `none` switch the export off |
    /// | `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_EXPORTER_OTLP_TRACES_HEADERS` | `name=value,...` or a JSON object |
    /// | `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` | what the spans' resource says |
    /// | `OTEL_TRACES_SAMPLER`, `OTEL_TRACES_SAMPLER_ARG` | which traces are exported |
    /// | `OTEL_BSP_SCHEDULE_DELAY`, `OTEL_BSP_MAX_QUEUE_SIZE`, `OTEL_BSP_MAX_EXPORT_BATCH_SIZE` | how spans are gathered |
    /// | `OTEL_EXPORTER_OTLP_TIMEOUT`, `OTEL_EXPORTER_OTLP_TRACES_TIMEOUT` | how long a request may take, in ms |
    #[must_use]
    pub fn from_environment() -> Self {
        let mut settings = Self::read(|name| std::env::var(name).ok());
        settings.color =
            std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal();
        settings
    }

    /// The same from any set of variables.
    pub(crate) fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        // An empty variable is as good as none.
        let variable =
            |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut warnings = Vec::new();
        Self {
            log_filter: log_filter(&variable, &mut warnings),
            log_format: log_format(&variable, &mut warnings),
            color: false,
            resource: resource(&variable, &mut warnings),
            traces: traces(&variable, &mut warnings),
            warnings,
        }
    }

    /// Says more about where spans come from. What the environment says wins.
    #[must_use]
    pub fn with_resource(mut self, name: &str, value: &str) -> Self {
        self.resource.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        self
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(|_| None)
    }
}

type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

fn log_filter(variable: &Variable<'_>, warnings: &mut Vec<String>) -> String {
    if let Some(filter) = variable("RUST_LOG") {
        return filter;
    }
    let Some(level) = variable("LOG_LEVEL") else { return LOG_FILTER_DEFAULT.to_owned() };
    match level.to_ascii_lowercase().as_str() {
        level @ ("trace" | "debug" | "info") => format!("{level},openraft=error,ractor_cluster=error"),
        "warn" | "warning" => "warn".to_owned(),
        // The highest level that we have.
        "error" | "fatal" | "critical" => "error".to_owned(),
        level @ "off" => level.to_owned(),
        _ => {
            warnings.push(format!("LOG_LEVEL is {level:?}; use trace, debug, info, warn, error, fatal or off"));
            LOG_FILTER_DEFAULT.to_owned()
        }
    }
}

fn log_format(variable: &Variable<'_>, warnings: &mut Vec<String>) -> LogFormat {
    match variable("LOG_FORMAT").map(|format| format.to_ascii_lowercase()).as_deref() {
        Some("json") => return LogFormat::Json,
        Some("pretty" | "text") => return LogFormat::Pretty,
        Some(other) => warnings.push(format!("LOG_FORMAT is {other:?}; use json or pretty")),
        None => {}
    }
    match flag(variable, "PRETTY_LOGS", warnings) {
        Some(false) => LogFormat::Json,
        Some(true) | None => LogFormat::Pretty,
    }
}

fn resource(variable: &Variable<'_>, warnings: &mut Vec<String>) -> BTreeMap<String, String> {
    let mut resource = BTreeMap::from([("service.name".to_owned(), SERVICE_NAME_DEFAULT.to_owned())]);
    for pair in
        variable("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default().split(',').filter(|pair| !pair.trim().is_empty())
    {
        match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => {
                resource.insert(name.trim().to_owned(), headers::decode(value.trim()));
            }
            _ => warnings.push("OTEL_RESOURCE_ATTRIBUTES has a part that is not name=value".to_owned()),
        }
    }
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        resource.insert("service.name".to_owned(), name);
    }
    resource
}

fn traces(variable: &Variable<'_>, warnings: &mut Vec<String>) -> Option<TraceSettings> {
    let wanted = flag(variable, "ENABLE_TRACING", warnings);
    let disabled = flag(variable, "OTEL_SDK_DISABLED", warnings).unwrap_or(false)
        || variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter.eq_ignore_ascii_case("none"));
    if wanted == Some(false) || disabled {
        return None;
    }
    let endpoint = match (variable(TRACES_ENDPOINT), variable(ENDPOINT)) {
        (Some(whole), _) => whole,
        (None, Some(base)) => format!("{}/v1/traces", base.trim_end_matches('/')),
        (None, None) => {
            if wanted == Some(true) {
                warnings.push(format!("ENABLE_TRACING is set, but no spans are exported: set {ENDPOINT} too"));
            }
            return None;
        }
    };
    if !(endpoint.starts_with("http://") || endpoint.starts_with("https://")) {
        warnings.push(format!("no spans are exported: {ENDPOINT} must be a URL with http:// or https://"));
        return None;
    }
    for name in ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"] {
        if let Some(protocol) = variable(name).filter(|protocol| protocol != "http/protobuf") {
            warnings.push(format!("{name} is {protocol:?}; spans are exported by http/protobuf all the same"));
        }
    }
    warn_of_sampler(variable, warnings);
    let headers = variable("OTEL_EXPORTER_OTLP_TRACES_HEADERS").or_else(|| variable("OTEL_EXPORTER_OTLP_HEADERS"));
    let queue_spans = match variable("OTEL_BSP_MAX_QUEUE_SIZE").map(|size| size.parse()) {
        Some(Ok(size)) if size > 0 => size,
        None => QUEUE_SPANS_DEFAULT,
        Some(_) => {
            warnings
                .push(format!("OTEL_BSP_MAX_QUEUE_SIZE is not a number above 0; {QUEUE_SPANS_DEFAULT} spans may wait"));
            QUEUE_SPANS_DEFAULT
        }
    };
    let timeout = variable("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
        .or_else(|| variable("OTEL_EXPORTER_OTLP_TIMEOUT"))
        .map(|ms| ms.parse());
    let timeout = match timeout {
        Some(Ok(ms)) if ms > 0 => Duration::from_millis(ms),
        None => TIMEOUT_DEFAULT,
        Some(_) => {
            warnings
                .push("OTEL_EXPORTER_OTLP_TIMEOUT is not a number of milliseconds above 0; 10 s are used".to_owned());
            TIMEOUT_DEFAULT
        }
    };
    Some(TraceSettings {
        endpoint,
        headers: Headers::parse(&headers.unwrap_or_default(), warnings),
        queue_spans,
        timeout,
    })
}

/// The sampler itself is read by the SDK, which exports everything where it does not understand.
fn warn_of_sampler(variable: &Variable<'_>, warnings: &mut Vec<String>) {
    let Some(sampler) = variable("OTEL_TRACES_SAMPLER") else { return };
    if !SAMPLERS.contains(&sampler.as_str()) {
        warnings.push(format!(
            "OTEL_TRACES_SAMPLER is {sampler:?}; all traces are exported; use one of {}",
            SAMPLERS.join(", ")
        ));
    }
    let share = variable("OTEL_TRACES_SAMPLER_ARG").and_then(|share| share.parse::<f64>().ok());
    if sampler.ends_with("traceidratio") && !share.is_some_and(|share| (0.0..=1.0).contains(&share)) {
        warnings.push("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1; all traces are exported".to_owned());
    }
}

fn flag(variable: &Variable<'_>, name: &str, warnings: &mut Vec<String>) -> Option<bool> {
    let value = variable(name)?;
    match value.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" | "on" => Some(true),
        "0" | "false" | "no" | "off" => Some(false),
        _ => {
            warnings.push(format!("{name} is {value:?}; use true or false"));
            None
        }
    }
}
