//! File and environment, merged into one tree whose every value knows where it came from; names that nobody knows.

use std::collections::BTreeMap;
use std::path::Path;

use config::{Config, FileFormat, Format, Map, Source, Value, ValueKind};

use super::ini;
use super::legacy_ini;
use super::problem::{ConfigError, Problem, ProblemKind};
use super::provider_text;
use super::raw::{self, SettingNode};

const PREFIX: &str = "SKYFERRY__";

/// Where a setting came from that names a file next to an ini.
const BESIDE: &str = "a file beside the ini";

/// No list of routes or queues is longer, so that an index from the environment cannot ask for the whole memory.
const MAX_INDEX: usize = 999;

/// One source of settings: values by their path (`transfer.part_size`, `routes[0].prefix`).
#[derive(Clone, Debug)]
struct Values(Map<String, Value>);

impl Source for Values {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }
    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Settings as a tree.
pub(super) struct SettingsTree {
    pub root: Value,
    pub problems: Vec<Problem>,
    /// What became of a predecessor's ini.
    pub notes: Vec<String>,
}

impl SettingsTree {
    /// `text` is TOML, or the predecessors' ini, which becomes the same map. `beside`: files next to an ini, each with the
    /// setting that names it where nothing else sets that.
    pub fn read(
        file: &Path,
        text: &str,
        environment: &BTreeMap<String, String>,
        beside: &[(&str, &str)],
    ) -> Result<SettingsTree, ConfigError> {
        let syntax = |message: String| ConfigError::Syntax { path: file.to_owned(), message };
        let (mut problems, mut notes) = (Vec::new(), Vec::new());
        let values = if ini::is_ini(file, text) {
            let reading = legacy_ini::read(file, text, environment).map_err(syntax)?;
            (problems, notes) = (reading.problems, reading.notes);
            let mut values = reading.values;
            for (name, setting) in beside {
                let value = || Value::new(Some(&BESIDE.to_owned()), ValueKind::String((*name).to_owned()));
                values.entry((*setting).to_owned()).or_insert_with(value);
            }
            values
        } else {
            let text = text.strip_prefix('\u{feff}').unwrap_or(text);
            // Told by line and reason alone: the parser's own report quotes the file.
            toml::from_str::<toml::Table>(text).map_err(|error| syntax(line_and_column(text, &error)))?;
            let origin = file.display().to_string();
            FileFormat::Toml.parse(Some(&origin), text).map_err(|_| syntax("a number is out of range".into()))?
        };
        SettingsTree::overridden(values, problems, notes, environment, beside).map_err(syntax)
    }

    /// From the variables of the serverless predecessor's functions.
    pub fn from_legacy_variables(environment: &BTreeMap<String, String>) -> Result<SettingsTree, ConfigError> {
        let legacy_ini::LegacySettings { values, notes, problems } = legacy_ini::read_variables(environment);
        let syntax = |message| ConfigError::Syntax { path: "the environment".into(), message };
        SettingsTree::overridden(values, problems, notes, environment, &[]).map_err(syntax)
    }

    /// What is set, and over it what the environment sets.
    fn overridden(
        values: Map<String, Value>,
        mut problems: Vec<Problem>,
        notes: Vec<String>,
        environment: &BTreeMap<String, String>,
        beside: &[(&str, &str)],
    ) -> Result<SettingsTree, String> {
        let mut builder = Config::builder().add_source(Values(values));
        // Sorted, so that a table's text form comes before its keys and the outcome is always the same.
        for (name, value) in environment.iter().filter(|(name, _)| name.starts_with(PREFIX)) {
            match path_of(name) {
                Some(path) => {
                    let value = Value::new(Some(&format!("environment variable {name}")), value.clone());
                    builder = builder.add_source(Values(Map::from_iter([(path, value)])));
                }
                None => problems.push(Problem {
                    setting: name.clone(),
                    origin: Some("the environment".into()),
                    what: ProblemKind::Invalid(
                        "is not a setting's name: SKYFERRY__SECTION__KEY, lists as SKYFERRY__ROUTES__0__KEY".into(),
                    ),
                }),
            }
        }
        let config = builder.build().map_err(|error| error.to_string())?;
        let mut tree = SettingsTree { root: config.cache, problems, notes };
        expand(&mut tree.root);
        for (name, setting) in beside {
            if tree.origin(setting).is_some_and(|origin| origin.ends_with(BESIDE)) {
                tree.notes.push(format!("{name} beside it became {setting}"));
            }
        }
        tree.check();
        Ok(tree)
    }

    /// Where the value of a setting came from: a file's name or an environment variable.
    pub fn origin(&self, setting: &str) -> Option<String> {
        let mut value = &self.root;
        for step in setting.split('.') {
            let (name, index) = match step.strip_suffix(']').and_then(|s| s.split_once('[')) {
                Some((name, index)) => (name, index.parse::<usize>().ok()),
                None => (step, None),
            };
            let ValueKind::Table(table) = &value.kind else { return None };
            value = table.get(name)?;
            if let Some(index) = index {
                let ValueKind::Array(list) = &value.kind else { return None };
                value = list.get(index)?;
            }
        }
        origin_of(value)
    }

    /// Every name and every value's shape, so that reading into [`raw::RawSettings`] cannot fail.
    fn check(&mut self) {
        let ValueKind::Table(sections) = &self.root.kind else { return };
        let mut found = Vec::new();
        for (name, value) in sorted(sections) {
            match (raw::node(name), &value.kind) {
                (None, _) => found.push(unknown("", name, raw::top(), value)),
                (Some(SettingNode::Value), _) => found.extend(scalar(name, value)),
                (Some(SettingNode::Table(names)), ValueKind::Table(table)) => {
                    table_of_values(name, table, names, &mut found)
                }
                (Some(SettingNode::Tables(names)), ValueKind::Array(list)) => {
                    for (index, item) in list.iter().enumerate() {
                        let path = format!("{name}[{index}]");
                        match &item.kind {
                            ValueKind::Table(table) => table_of_values(&path, table, names, &mut found),
                            _ => {
                                found.push(invalid_type(&path, value, "is not a table (a gap in the list's numbers?)"))
                            }
                        }
                    }
                }
                (Some(SettingNode::Nested(names, below)), ValueKind::Table(table)) => {
                    for (role, value) in sorted(table) {
                        let path = format!("{name}.{role}");
                        match &value.kind {
                            _ if !names.contains(&role.as_str()) => found.push(unknown(name, role, names, value)),
                            ValueKind::Table(table) => table_of_values(&path, table, below, &mut found),
                            _ => found.push(invalid_type(
                                &path,
                                value,
                                "is neither a table nor a text like \"environment:SRC_\"",
                            )),
                        }
                    }
                }
                (Some(SettingNode::Tables(_)), _) => {
                    found.push(invalid_type(name, value, &format!("is not a list: write [[{name}]]")))
                }
                (Some(_), _) => found.push(invalid_type(name, value, &format!("is not a table: write [{name}]"))),
            }
        }
        self.problems.extend(found);
    }
}

/// A provider written as one text (`environment:SRC_`, the command line's form) becomes the table that it stands for.
fn expand(root: &mut Value) {
    let ValueKind::Table(root) = &mut root.kind else { return };
    let Some(ValueKind::Table(roles)) = root.get_mut("credentials").map(|value| &mut value.kind) else { return };
    for value in roles.values_mut() {
        let ValueKind::String(text) = &value.kind else { continue };
        let origin = value.origin().map(str::to_string);
        let fields = provider_text::fields(text)
            .into_iter()
            .map(|(name, text)| (name.to_string(), Value::new(origin.as_ref(), text)));
        *value = Value::new(origin.as_ref(), fields.collect::<Map<_, _>>());
    }
}

fn line_and_column(text: &str, error: &toml::de::Error) -> String {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    format!("line {}: {}", before.matches('\n').count() + 1, error.message())
}

/// `SKYFERRY__ROUTES__0__PREFIX` → `routes[0].prefix`.
fn path_of(name: &str) -> Option<String> {
    let mut path = String::new();
    for step in name.strip_prefix(PREFIX)?.split("__") {
        if step.is_empty() || !step.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return None;
        }
        if step.bytes().all(|b| b.is_ascii_digit()) {
            let index = step.parse::<usize>().ok().filter(|i| *i <= MAX_INDEX && !path.is_empty())?;
            path += &format!("[{index}]");
        } else {
            path += if path.is_empty() { "" } else { "." };
            path += &step.to_ascii_lowercase();
        }
    }
    Some(path)
}

fn sorted(table: &Map<String, Value>) -> BTreeMap<&String, &Value> {
    table.iter().collect()
}

fn table_of_values(path: &str, table: &Map<String, Value>, names: &[&str], problems: &mut Vec<Problem>) {
    for (name, value) in sorted(table) {
        if names.contains(&name.as_str()) {
            problems.extend(scalar(&format!("{path}.{name}"), value));
        } else {
            problems.push(unknown(path, name, names, value));
        }
    }
}

fn scalar(path: &str, value: &Value) -> Option<Problem> {
    match &value.kind {
        ValueKind::Table(_) | ValueKind::Array(_) => {
            Some(invalid_type(path, value, "is a table or a list where one value is wanted"))
        }
        _ => None,
    }
}

fn invalid_type(path: &str, value: &Value, text: &str) -> Problem {
    Problem { setting: path.into(), origin: origin_of(value), what: ProblemKind::Invalid(text.into()) }
}

fn origin_of(value: &Value) -> Option<String> {
    let below = || match &value.kind {
        ValueKind::Table(table) => sorted(table).into_values().find_map(origin_of),
        ValueKind::Array(list) => list.iter().find_map(origin_of),
        _ => None,
    };
    value.origin().map(str::to_string).or_else(below)
}

/// Names the nearest known name: of the same table if one is near, else of all.
fn unknown(table: &str, name: &str, names: &[&str], value: &Value) -> Problem {
    let join = |table: &str, name: &str| if table.is_empty() { name.to_string() } else { format!("{table}.{name}") };
    let far = |known: &str| strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known);
    let here = names.iter().map(|known| (far(known), join(table, known)));
    let elsewhere = raw::top().iter().flat_map(|section| {
        let below = match raw::node(section) {
            Some(SettingNode::Table(names) | SettingNode::Tables(names)) => names,
            _ => &[],
        };
        // Another table must fit better by two letters.
        below.iter().map(|known| (far(known) + 2, join(section, known)))
    });
    let nearest =
        here.chain(elsewhere).min_by_key(|(distance, _)| *distance).map(|(_, known)| known).unwrap_or_default();
    Problem { setting: join(table, name), origin: origin_of(value), what: ProblemKind::Unknown { nearest } }
}
