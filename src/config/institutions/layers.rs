//! One institution's document laid over another's: what a registration has otherwise, and what the twin in a sandbox has.
//!
//! Both are read by the rules for the file itself, so everything in `[oauth]` may differ, and a key is explained, checked and
//! built in one place.

use serde::Deserialize;
use toml::{Table, Value};

use crate::config::value::Label;
use crate::domain::id::{InstitutionCode, InstitutionGuid};

/// What is wrong: each fault's key, and what it is.
pub type Contradictions = Vec<(String, String)>;

/// `[sandbox]`: a twin of the institution.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSandbox {
    pub guid: InstitutionGuid,
    pub code: InstitutionCode,
    name: Option<Label>,
    oauth: Table,
}

/// Texts under these keys of `[oauth]` are no addresses, even if they look like one.
const NO_ADDRESSES: [&str; 2] = ["scopes", "authorization_details"];

impl RawSandbox {
    /// The twin's document: the institution's in everything but what stands here. Whatever has an address there must have
    /// one here, so that no call of the twin reaches the institution itself.
    pub fn document(&self, of: &Table) -> Result<Table, Contradictions> {
        let mut document = of.clone();
        document.remove("sandbox");
        let name = match &self.name {
            Some(name) => name.0.clone(),
            None => {
                let name = of.get("name").and_then(Value::as_str);
                format!("{} (sandbox)", name.unwrap_or_default())
            }
        };
        for (key, value) in [
            ("guid", self.guid.to_string()),
            ("code", self.code.to_string()),
            ("name", name),
        ] {
            document.insert(key.to_owned(), value.into());
        }
        lay_over(&mut document, &oauth_of(&self.oauth));
        let mut shared = Vec::new();
        if let (Some(own), Some(twins)) = (of.get("oauth"), document.get("oauth")) {
            addresses_in_both("oauth", own, twins, &mut shared);
        }
        if shared.is_empty() {
            return Ok(document);
        }
        let problem = "is missing: the institution has an address there, and the twin must not call that; add it";
        let named = shared.into_iter().map(|key| (key, problem.to_owned()));
        Err(named.collect())
    }
}

/// An institution's document with a registration's own settings laid over its `[oauth]`.
pub fn with_own(document: &Table, own: &Table) -> Table {
    let mut document = document.clone();
    lay_over(&mut document, &oauth_of(own));
    document
}

fn oauth_of(section: &Table) -> Table {
    Table::from_iter([("oauth".to_owned(), Value::Table(section.clone()))])
}

/// Puts what `upper` has into `table`: the keys of a section one by one, the elements of a list of sections by what they
/// are about, anything else whole.
fn lay_over(table: &mut Table, upper: &Table) {
    for (key, value) in upper {
        match (table.get_mut(key), value) {
            (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
            (Some(Value::Array(below)), Value::Array(above)) if are_sections(below, above) => {
                for element in above {
                    let same = below.iter_mut().find(|it| about(it) == about(element));
                    match (same, element) {
                        (Some(Value::Table(below)), Value::Table(above)) => lay_over(below, above),
                        _ => below.push(element.clone()),
                    }
                }
            }
            _ => drop(table.insert(key.clone(), value.clone())),
        }
    }
}

/// Whether the elements of both lists are sections that say what they are about.
fn are_sections(one: &[Value], other: &[Value]) -> bool {
    one.iter().chain(other).all(|it| about(it).is_some())
}

/// What an element of a list is about: a value by its name, the description of calls by which they are.
fn about(element: &Value) -> Option<&Value> {
    element.get("name").or_else(|| element.get("of"))
}

/// The keys whose value is one and the same address in both.
fn addresses_in_both(at: &str, own: &Value, twins: &Value, shared: &mut Vec<String>) {
    match (own, twins) {
        (Value::String(own), Value::String(twins)) => {
            let is_address = own.starts_with("https://") || own.starts_with("http://");
            if is_address && own == twins {
                shared.push(at.to_owned());
            }
        }
        (Value::Table(own), Value::Table(twins)) => {
            for (key, own) in own {
                if let Some(twins) = twins
                    .get(key)
                    .filter(|_| !NO_ADDRESSES.contains(&key.as_str()))
                {
                    addresses_in_both(&format!("{at}.{key}"), own, twins, shared);
                }
            }
        }
        (Value::Array(own), Value::Array(twins)) => {
            for (i, (own, twins)) in own.iter().zip(twins).enumerate() {
                addresses_in_both(&format!("{at}[{i}]"), own, twins, shared);
            }
        }
        _ => {}
    }
}
