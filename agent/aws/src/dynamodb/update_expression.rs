//! One UpdateItem's expressions. Every name goes by a placeholder: DynamoDB reserves some six hundred words, `Size` among
//! them, and new ones come.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

#[derive(Default)]
pub(super) struct UpdateExpression {
    set: Vec<String>,
    add: Vec<String>,
    delete: Vec<String>,
    remove: Vec<String>,
    conditions: Vec<String>,
    names: HashMap<String, String>,
    values: HashMap<String, AttributeValue>,
}

/// What the request takes.
pub(super) struct BuiltExpression {
    pub update: String,
    pub condition: Option<String>,
    pub names: HashMap<String, String>,
    pub values: Option<HashMap<String, AttributeValue>>,
}

/// An attribute, or a field of one that is a map.
type Path<'a> = &'a [&'a str];

impl UpdateExpression {
    pub fn set(&mut self, path: Path<'_>, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.set.push(format!("{path} = {value}"));
    }

    /// Unless it has a value.
    pub fn set_once(&mut self, name: &str, value: AttributeValue) {
        let (path, value) = (self.path(&[name]), self.value(value));
        self.set.push(format!("{path} = if_not_exists({path}, {value})"));
    }

    /// `name = value - other`
    pub fn set_difference(&mut self, name: &str, value: AttributeValue, other: &str) {
        let (path, other, value) = (self.path(&[name]), self.path(&[other]), self.value(value));
        self.set.push(format!("{path} = {value} - {other}"));
    }

    /// To a number, or to a set.
    pub fn add(&mut self, name: &str, value: AttributeValue) {
        let (path, value) = (self.path(&[name]), self.value(value));
        self.add.push(format!("{path} {value}"));
    }

    /// From a set.
    pub fn delete(&mut self, name: &str, values: AttributeValue) {
        let (path, value) = (self.path(&[name]), self.value(values));
        self.delete.push(format!("{path} {value}"));
    }

    pub fn remove(&mut self, path: Path<'_>) {
        let path = self.path(path);
        self.remove.push(path);
    }

    pub fn require_exists(&mut self, path: Path<'_>) {
        let path = self.path(path);
        self.conditions.push(format!("attribute_exists({path})"));
    }

    pub fn require_missing(&mut self, path: Path<'_>) {
        let path = self.path(path);
        self.conditions.push(format!("attribute_not_exists({path})"));
    }

    pub fn require_equal(&mut self, path: Path<'_>, value: AttributeValue) {
        let (path, value) = (self.path(path), self.value(value));
        self.conditions.push(format!("{path} = {value}"));
    }

    pub fn require_at_most_or_missing(&mut self, path: Path<'_>, most: u64) {
        let (path, value) = (self.path(path), self.value(number(most)));
        self.conditions.push(format!("(attribute_not_exists({path}) OR {path} <= {value})"));
    }

    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.delete.is_empty() && self.remove.is_empty()
    }

    pub fn build(self) -> BuiltExpression {
        let clauses = [("SET", self.set), ("ADD", self.add), ("DELETE", self.delete), ("REMOVE", self.remove)];
        let clauses = clauses.into_iter().filter(|(_, parts)| !parts.is_empty());
        let update: Vec<String> = clauses.map(|(verb, parts)| format!("{verb} {}", parts.join(", "))).collect();
        BuiltExpression {
            update: update.join(" "),
            condition: (!self.conditions.is_empty()).then(|| self.conditions.join(" AND ")),
            names: self.names,
            // An empty map is refused.
            values: (!self.values.is_empty()).then_some(self.values),
        }
    }

    fn path(&mut self, path: Path<'_>) -> String {
        let mut placeholders = Vec::with_capacity(path.len());
        for name in path {
            let known = self.names.iter().find(|(_, known)| known == name).map(|(placeholder, _)| placeholder.clone());
            placeholders.push(known.unwrap_or_else(|| {
                let placeholder = format!("#n{}", self.names.len());
                self.names.insert(placeholder.clone(), (*name).to_owned());
                placeholder
            }));
        }
        placeholders.join(".")
    }

    fn value(&mut self, value: AttributeValue) -> String {
        let placeholder = format!(":v{}", self.values.len());
        self.values.insert(placeholder.clone(), value);
        placeholder
    }
}

pub(super) fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

pub(super) fn number(number: impl std::fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

pub(super) fn list(texts: Vec<String>) -> AttributeValue {
    AttributeValue::Ss(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_go_by_placeholders_and_each_clause_comes_once() {
        let mut change = UpdateExpression::default();
        change.set(&["Size"], number(7));
        change.set(&["sfOpen_1", "u"], text("id"));
        change.add("tryTimes", number(1));
        change.remove(&["sfOpen_1", "h"]);
        change.require_exists(&["sfOpen_1"]);
        change.require_missing(&["Size"]);
        let built = change.build();
        assert_eq!(built.update, "SET #n0 = :v0, #n1.#n2 = :v1 ADD #n3 :v2 REMOVE #n1.#n4");
        assert_eq!(built.condition.as_deref(), Some("attribute_exists(#n1) AND attribute_not_exists(#n0)"));
        assert_eq!((built.names["#n0"].as_str(), built.names.len()), ("Size", 5));
    }
}
