//! `dspex config show`: every key with the value that holds, and where it comes from.

use dspex_telemetry::redact;
use serde_json::{Map, Value as Json, json};
use toml::Value;

use super::key::{self, OF_POOLS};
use super::layers::{Layers, Origin};

/// A key with the value that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub name: String,
    /// Without secrets; null: nothing.
    pub value: Json,
    pub origin: Origin,
}

impl Setting {
    /// For programs.
    pub(crate) fn object(&self, with_origin: bool) -> Json {
        let mut object = Map::new();
        object.insert("key".to_owned(), json!(self.name));
        object.insert("value".to_owned(), self.value.clone());
        if with_origin {
            object.insert("origin".to_owned(), json!(self.origin.to_string()));
        }
        Json::Object(object)
    }
}

/// All that concern the node: an embedded one has no port and no Python of its own.
pub(crate) fn settings(layers: &Layers) -> Vec<Setting> {
    let has_peers = ["peers", "cluster"].iter().any(|section| layers.table().contains_key(*section));
    let environments = layers.environments();
    let of_environments = environments.iter().flat_map(|environment| key::of_environment(environment));
    let all = key::all().chain(of_environments);
    let concerned = all.filter(|full| !layers.is_embedded() || full.key.section == OF_POOLS);
    let settings = concerned.map(|full| {
        // Without either section the node has no peers, and no port for them.
        let is_absent = !has_peers && ["peers", "cluster"].contains(&full.key.section);
        let value = if is_absent { None } else { layers.effective(&full.name) };
        Setting { value: value.as_ref().map_or(Json::Null, plain), origin: layers.origin(&full.name), name: full.name }
    });
    settings.collect()
}

/// As JSON, without secrets.
fn plain(value: &Value) -> Json {
    match value {
        Value::String(text) => json!(redact(text)),
        Value::Integer(number) => json!(number),
        Value::Float(number) => json!(number),
        Value::Boolean(switch) => json!(switch),
        Value::Array(list) => Json::Array(list.iter().map(plain).collect()),
        other => json!(redact(&other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn shown(text: &str, variables: &[(&str, &str)]) -> Vec<Setting> {
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let layers = Layers::of_text(text, Path::new("dspex.toml"), Path::new("/etc/dspex")).expect("TOML");
        settings(&layers.with(variables).expect("valid"))
    }

    fn one(settings: &[Setting], name: &str) -> (Json, String) {
        let setting = settings.iter().find(|setting| setting.name == name).expect("a key");
        (setting.value.clone(), setting.origin.to_string())
    }

    #[test]
    fn the_environment_goes_before_the_file_and_the_file_before_the_default() {
        let text = "data_dir = \"kept\"\n\n[pools.general]\nworkers = 3\nretries = 0\n[peers]\n";
        let settings = shown(text, &[("DSPEX_POOLS__GENERAL__WORKERS", "5"), ("DSPEX_HOME", "/h"), ("PATH", "/bin")]);
        assert_eq!(one(&settings, "pools.general.workers"), (json!(5), "DSPEX_POOLS__GENERAL__WORKERS".to_owned()));
        assert_eq!(one(&settings, "pools.general.retries"), (json!(0), "dspex.toml:5".to_owned()));
        assert_eq!(one(&settings, "data_dir"), (json!("/etc/dspex/kept"), "dspex.toml:1".to_owned()));
        assert_eq!(one(&settings, "api.listen"), (json!("127.0.0.1:7400"), "default".to_owned()));
        assert_eq!(one(&settings, "python.directory"), (Json::Null, "default".to_owned()));
        assert_eq!(one(&settings, "sandbox.directory"), (json!("/etc/dspex/kept/workers"), "default".to_owned()));
        assert_eq!(one(&settings, "peers.advertise"), (json!("127.0.0.1:7410"), "default".to_owned()));
        assert_eq!(one(&settings, "pools.optimizer.execution_timeout_s"), (json!(14400), "default".to_owned()));
        assert_eq!(one(&settings, "pools.general.idle_timeout_s").0, json!(0));
        assert_eq!(settings.len(), key::all().count());
    }

    #[test]
    fn environments_are_shown_where_they_are_declared() {
        let settings =
            shown("[environments.nlp]\npython = \"venv/bin/python\"", &[("DSPEX_ENVIRONMENTS__GPU__PYTHON", "/p")]);
        assert_eq!(
            one(&settings, "environments.nlp.python"),
            (json!("/etc/dspex/venv/bin/python"), "dspex.toml:2".to_owned())
        );
        assert_eq!(one(&settings, "environments.gpu.python").0, json!("/p"));
        assert_eq!(settings.len(), key::all().count() + 2);
    }

    #[test]
    fn without_a_sandbox_workers_start_with_the_data() {
        let settings = shown("[sandbox]\nmode = \"off\"\nreadable = [\"models\", \"/srv\"]", &[]);
        assert_eq!(one(&settings, "python.directory"), (json!("/etc/dspex/data"), "default".to_owned()));
        assert_eq!(one(&settings, "sandbox.readable").0, json!(["/etc/dspex/models", "/srv"]));
        assert_eq!(one(&settings, "sandbox.open_files").0, json!(1024));
    }

    #[test]
    fn the_top_of_the_file_has_variables_too() {
        let settings = shown("", &[("DSPEX_DATA_DIR", "/var/lib/dspex")]);
        assert_eq!(one(&settings, "data_dir"), (json!("/var/lib/dspex"), "DSPEX_DATA_DIR".to_owned()));
    }

    #[test]
    fn a_node_without_peers_shows_no_port_for_them() {
        assert_eq!(one(&shown("", &[]), "peers.listen").0, Json::Null);
        assert_eq!(one(&shown("[cluster]", &[]), "peers.listen").0, json!("127.0.0.1:7410"));
    }

    #[test]
    fn secrets_are_taken_out() {
        let text = "[pools.general]\nlm = \"https://user:hunter2hunter2@host/v1\"";
        let (value, _) = one(&shown(text, &[]), "pools.general.lm");
        assert!(!value.to_string().contains("hunter2"), "{value}");
    }

    #[test]
    fn an_embedded_node_has_pools_only() {
        let layers = Layers::of_variables(Path::new("/home"), std::iter::empty()).expect("valid").embedded();
        let settings = settings(&layers);
        assert!(settings.iter().all(|setting| setting.name.starts_with("pools.")) && !settings.is_empty());
        assert_eq!(one(&settings, "pools.general.idle_timeout_s").0, json!(300));
    }
}
