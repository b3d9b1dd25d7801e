//! The layers of a configuration: the environment (`DSPEX_API__LISTEN`) over the file over the defaults. Each value knows where
//! it comes from, and what is not in the table of keys, or not as it says, is refused.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use dspex_telemetry::redact;
use toml::de::DeTable;
use toml::map::Map;
use toml::{Table, Value};

use super::key::{self, FullKey, Preset};
use super::kind::Kind;
use super::pools;
use super::problem::{Problem, Problems};

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    /// The file, and the line in it, from 1.
    Line(PathBuf, usize),
    /// The name of a variable.
    Variable(String),
}

/// What is set, and by whom.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    table: Table,
    /// By full name; of sections, too.
    origins: BTreeMap<String, Origin>,
    /// What relative paths of the file are relative to.
    directory: PathBuf,
    /// The file, where there is one.
    file: Option<PathBuf>,
    /// Each caller brings its own environment, and pools end when nobody needs them.
    is_embedded: bool,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Line(file, line) => write!(f, "{}:{line}", file.display()),
            Self::Variable(name) => f.write_str(name),
        }
    }
}

impl Layers {
    /// A file, and variables over it.
    pub(crate) fn read(file: &Path, variables: impl Iterator<Item = (String, String)>) -> Result<Self, Problems> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).map_err(|error| Problem::new(format!("{shown}: {error}")))?;
        // Relative to the file, not to wherever the node is started.
        let beside = std::path::absolute(file).map_err(|error| Problem::new(format!("{shown}: {error}")))?;
        let directory = beside.parent().unwrap_or(Path::new("/"));
        let read = Self::of_text(&text, file, directory)?;
        Self { file: Some(beside.clone()), ..read }.with(variables)
    }

    /// Variables alone; their relative paths are relative to this directory.
    pub(crate) fn of_variables(
        directory: &Path,
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Self, Problems> {
        Self { directory: directory.to_owned(), ..Self::default() }.with(variables)
    }

    pub(super) fn of_text(text: &str, file: &Path, directory: &Path) -> Result<Self, Problems> {
        let refused = |error: toml::de::Error| {
            let origin = Origin::Line(file.to_owned(), error.span().map_or(1, |span| line(text, span.start)));
            Problem { origin: Some(origin.to_string()), ..Problem::new(error.message()) }
        };
        let mut origins = BTreeMap::new();
        locate(DeTable::parse(text).map_err(refused)?.get_ref(), "", &mut |name, start| {
            origins.insert(name, Origin::Line(file.to_owned(), line(text, start)));
        });
        let table: Table = toml::from_str(text).map_err(refused)?;
        Ok(Self { table, origins, directory: directory.to_owned(), file: None, is_embedded: false })
    }

    /// Puts variables on top, and checks all of it.
    pub(super) fn with(mut self, variables: impl Iterator<Item = (String, String)>) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        for (variable, text) in variables {
            let Some(name) = key_of(&variable) else { continue };
            let origin = Origin::Variable(variable);
            if let Err(message) = self.set(&name, &text) {
                problems.push(Problem { origin: Some(origin.to_string()), key: Some(name), value: None, message });
            } else {
                self.origins.insert(name, origin);
            }
        }
        self.check(&self.table, "", &mut problems);
        if !problems.is_empty() {
            return Err(Problems(problems));
        }
        let of_environments: Vec<FullKey> =
            self.environments().iter().flat_map(|environment| key::of_environment(environment)).collect();
        for full in key::all().chain(of_environments) {
            let joined = match (full.key.kind, self.value(&full.name)) {
                (Kind::Beside, Some(Value::String(path))) => self.beside(path),
                (Kind::AllBeside, Some(Value::Array(paths))) => {
                    Value::Array(paths.iter().filter_map(Value::as_str).map(|path| self.beside(path)).collect())
                }
                _ => continue,
            };
            self.put(&full.name, joined);
        }
        Ok(self)
    }

    /// The names of the environments that are declared.
    pub(super) fn environments(&self) -> Vec<String> {
        let declared = self.value("environments").and_then(Value::as_table);
        declared.map(|declared| declared.keys().cloned().collect()).unwrap_or_default()
    }

    /// For the node that is started on demand: other defaults hold for its pools.
    #[must_use]
    pub(crate) fn embedded(self) -> Self {
        Self { is_embedded: true, ..self }
    }

    /// The file, absolute.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Whether it is for the node that is started on demand.
    pub(crate) fn is_embedded(&self) -> bool {
        self.is_embedded
    }

    /// What is set.
    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    /// The value that somebody has set.
    pub(crate) fn value(&self, name: &str) -> Option<&Value> {
        let mut names = name.split('.');
        let first = self.table.get(names.next()?)?;
        names.try_fold(first, |value, name| value.as_table()?.get(name))
    }

    /// The value that holds: what is set, else the default.
    pub(crate) fn effective(&self, name: &str) -> Option<Value> {
        if let Some(value) = self.value(name) {
            return Some(value.clone());
        }
        let full = key::find(name)?;
        match full.key.preset {
            Preset::Text(text) if full.key.kind == Kind::Beside => Some(self.beside(text)),
            Preset::Text(text) => Some(Value::String(text.to_owned())),
            Preset::Number(number) => Some(Value::Integer(number)),
            Preset::Nothing(_) => None,
            Preset::Depends(_, here) => here(self),
            Preset::OfClass => pools::preset(full.class?, full.key.name, crate::life::cpus(), self.is_embedded),
        }
    }

    /// Where the value that holds comes from.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.origins.get(name).cloned().unwrap_or(Origin::Default)
    }

    /// What is wrong with a key, with its place and its value.
    pub(crate) fn problem(&self, name: &str, message: impl Into<String>) -> Problem {
        let origin = self.origins.get(name).map(Origin::to_string);
        let value = self.value(name).filter(|value| !value.is_table()).map(shown);
        Problem { origin, key: Some(name.to_owned()), value, message: message.into() }
    }

    fn check(&self, table: &Table, section: &str, problems: &mut Vec<Problem>) {
        for (name, value) in table {
            let name = key::join(section, name);
            match (key::find(&name), value) {
                (Some(full), value) if full.key.kind.accepts(value) => {}
                (Some(full), _) => problems.push(self.problem(&name, format!("must be {}", full.key.kind.allowed()))),
                (None, Value::Table(inner)) if key::is_section(&name) => self.check(inner, &name, problems),
                (None, _) if key::is_section(&name) => {
                    let names = key::names_in(&name).join(", ");
                    problems.push(self.problem(&name, format!("must be a section, [{name}], with {names}")));
                }
                (None, _) => {
                    // Its value is nobody's business: it may be a secret in the wrong place.
                    let place = if section.is_empty() { "the top of the file" } else { section };
                    let message = format!("there is no such key; {place} has {}", key::names_in(section).join(", "));
                    problems.push(Problem { value: None, ..self.problem(&name, message) });
                }
            }
        }
    }

    fn beside(&self, path: &str) -> Value {
        Value::String(self.directory.join(path).to_string_lossy().into_owned())
    }

    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        let kind = key::find(name).map_or(Kind::Text, |full| full.key.kind);
        if self.put(name, kind.of_text(text)) {
            Ok(())
        } else {
            Err("a setting, not a section, has this name".to_owned())
        }
    }

    /// False where a part of the name is no section.
    fn put(&mut self, name: &str, value: Value) -> bool {
        let mut names: Vec<&str> = name.split('.').collect();
        let last = names.pop().unwrap_or_default();
        let mut place = &mut self.table;
        for name in names {
            let next = place.entry(name.to_owned()).or_insert_with(|| Value::Table(Map::new()));
            let Some(next) = next.as_table_mut() else { return false };
            place = next;
        }
        place.insert(last.to_owned(), value);
        true
    }
}

/// `DSPEX_API__LISTEN` is `api.listen`, `DSPEX_DATA_DIR` is `data_dir`. Other names without `__` are others' (DSPEX_HOME).
fn key_of(variable: &str) -> Option<String> {
    let name = variable.strip_prefix("DSPEX_")?.to_ascii_lowercase();
    (name.contains("__") || key::find(&name).is_some()).then(|| name.replace("__", "."))
}

/// Calls `found` with every full name and where it begins.
fn locate(table: &DeTable<'_>, section: &str, found: &mut impl FnMut(String, usize)) {
    for (name, value) in table {
        let full = key::join(section, name.get_ref());
        if let Some(inner) = value.get_ref().as_table() {
            locate(inner, &full, found);
        }
        found(full, name.span().start);
    }
}

/// The line of a position, from 1.
fn line(text: &str, position: usize) -> usize {
    text.bytes().take(position).filter(|byte| *byte == b'\n').count() + 1
}

/// A value as TOML writes it, without secrets.
fn shown(value: &Value) -> String {
    redact(&value.to_string()).into_owned()
}
