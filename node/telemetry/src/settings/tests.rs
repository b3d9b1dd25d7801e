use super::*;

fn read(variables: &[(&str, &str)]) -> Settings {
    Settings::read(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
}

#[test]
fn nothing_is_exported_where_nobody_asks() {
    let settings = read(&[]);
    assert_eq!(
        (settings.log_filter.as_str(), settings.log_format),
        ("info,openraft=error,ractor_cluster=error", LogFormat::Pretty)
    );
    assert_eq!(settings.resource["service.name"], "dspex");
    assert!(settings.traces.is_none() && settings.warnings.is_empty());
    assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).traces.is_none());
}

#[test]
fn the_level_and_the_format_of_logs_can_be_chosen() {
    assert_eq!(read(&[("LOG_LEVEL", "Debug")]).log_filter, "debug,openraft=error,ractor_cluster=error");
    assert_eq!(read(&[("LOG_LEVEL", "fatal")]).log_filter, "error");
    assert_eq!(read(&[("LOG_LEVEL", "debug"), ("RUST_LOG", "dspex=trace")]).log_filter, "dspex=trace");
    assert_eq!(read(&[("LOG_LEVEL", "loud")]).warnings.len(), 1);
    assert_eq!(read(&[("LOG_FORMAT", "json")]).log_format, LogFormat::Json);
    assert_eq!(read(&[("PRETTY_LOGS", "false")]).log_format, LogFormat::Json);
    assert_eq!(read(&[("PRETTY_LOGS", "true"), ("LOG_FORMAT", "JSON")]).log_format, LogFormat::Json);
}

#[test]
fn the_endpoint_of_traces_is_taken_whole_and_the_common_one_gets_a_path() {
    let endpoint = |variables: &[_]| read(variables).traces.map(|traces| traces.endpoint);
    let common = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
    assert_eq!(endpoint(&[common]).as_deref(), Some("http://127.0.0.1:4318/v1/traces"));
    let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/own");
    assert_eq!(endpoint(&[common, own]).as_deref(), Some("http://127.0.0.1:4318/own"));
    for off in [("ENABLE_TRACING", "false"), ("OTEL_SDK_DISABLED", "true"), ("OTEL_TRACES_EXPORTER", "none")] {
        assert_eq!(endpoint(&[common, off]), None, "{off:?}");
    }
    assert!(endpoint(&[common, ("ENABLE_TRACING", "true")]).is_some());
    assert_eq!(read(&[("ENABLE_TRACING", "true")]).warnings.len(), 1);
    assert_eq!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317")]).warnings.len(), 1);
    assert_eq!(read(&[common, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).warnings.len(), 1);
    assert_eq!(read(&[common, ("OTEL_TRACES_SAMPLER", "sometimes")]).warnings.len(), 1);
    assert_eq!(read(&[common, ("OTEL_TRACES_SAMPLER", "traceidratio")]).warnings.len(), 1);
    assert_eq!(read(&[common, ("OTEL_BSP_MAX_QUEUE_SIZE", "0")]).warnings.len(), 1);
}

#[test]
fn headers_are_pairs_or_json_and_never_shown() {
    let headers = |text: &str| {
        let mut warnings = Vec::new();
        (Headers::parse(text, &mut warnings), warnings)
    };
    let (pairs, _) = headers("X-Key=one%20two, other=a=b");
    assert_eq!((pairs.map()["x-key"].as_bytes(), pairs.map()["other"].as_bytes()), (&b"one two"[..], &b"a=b"[..]));
    let (json, warnings) = headers(r#"{"Authorization": "Basic abc=="}"#);
    assert_eq!(json.map()["authorization"], "Basic abc==");
    assert!(json.secrets().any(|secret| secret == "abc==") && warnings.is_empty());
    assert_eq!(format!("{json:?}"), r#"["authorization"]"#);
    for bad in ["secret-without-a-name", "{\"n\": 1}", "{broken", "bad name=secret"] {
        let (none, warnings) = headers(bad);
        assert!(none.map().is_empty());
        assert_eq!(warnings.len(), 1, "{bad}");
        assert!(!warnings[0].contains("secret"));
    }
}

#[test]
fn the_service_has_the_name_that_was_given_most_directly() {
    let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=one,team=a%20b,broken");
    let settings = read(&[attributes]);
    assert_eq!((settings.resource["service.name"].as_str(), settings.resource["team"].as_str()), ("one", "a b"));
    assert_eq!(settings.warnings.len(), 1);
    let settings =
        read(&[attributes, ("OTEL_SERVICE_NAME", "two")]).with_resource("team", "c").with_resource("zone", "d");
    assert_eq!(settings.resource["service.name"], "two");
    assert_eq!((settings.resource["team"].as_str(), settings.resource["zone"].as_str()), ("a b", "d"));
}
