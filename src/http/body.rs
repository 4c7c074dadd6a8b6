//! What clients send: JSON bodies and queries, read leniently where real clients are sloppy and
//! strictly where a wrong value could be taken for a right one.

mod given;
mod sent;
mod wishes;

pub use given::MOST_VALUES;
pub use sent::{Sent, TooSlow, Whole, callback_payload, telling_of};

use std::str::FromStr;

use serde_json::{Map, Value};

use super::problem::{Kind, Problem};
use crate::domain::member::UseCase;

/// The longest `metadata` that is kept, in bytes.
pub const LONGEST_METADATA: usize = 4096;

/// The longest name that is kept, in bytes.
pub const LONGEST_NAME: usize = 255;

/// Parameters of a query that are lists, and may come more than once.
const LISTS: [&str; 1] = ["iso_country_code"];

/// The fields of a request: beside the root object, inside it, or without a root (contract section
/// 1.2). A field beside the root wins over one inside.
pub struct Fields {
    beside: Map<String, Value>,
    inside: Map<String, Value>,
    #[cfg(test)]
    looked_for: std::sync::Mutex<std::collections::BTreeSet<String>>,
}

impl Fields {
    /// Reads a JSON body whose root object may be called `root`.
    pub fn parse(body: &[u8], root: &str) -> Result<Self, Problem> {
        if body.iter().all(u8::is_ascii_whitespace) {
            let remedy =
                format!("The body is empty: send a JSON object such as {{\"{root}\": {{…}}}}.");
            return Err(Problem::new(Kind::Missing, remedy));
        }
        let value: Value = serde_json::from_slice(body).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            Problem::new(
                Kind::Malformed,
                format!("The body is not JSON: error at line {line}, column {column}."),
            )
        })?;
        let Value::Object(mut beside) = value else {
            return Err(Problem::new(
                Kind::Malformed,
                "The body must be a JSON object.",
            ));
        };
        let inside = match beside.remove(root) {
            None | Some(Value::Null) => Map::new(),
            Some(Value::Object(inside)) => inside,
            Some(_) => return Err(wrong_type(root, "an object")),
        };
        Ok(Self::new(beside, inside))
    }

    /// Reads the body where there is one, and the query for what the body leaves out.
    pub fn of_request(body: &[u8], query: &str, root: &str) -> Result<Self, Problem> {
        let mut fields = Self::of_query(query);
        if !body.iter().all(u8::is_ascii_whitespace) {
            let sent = Self::parse(body, root)?;
            fields.beside.extend(sent.inside);
            fields.beside.extend(sent.beside);
        }
        Ok(fields)
    }

    fn new(beside: Map<String, Value>, inside: Map<String, Value>) -> Self {
        Self {
            beside,
            inside,
            #[cfg(test)]
            looked_for: Default::default(),
        }
    }

    /// Whether there is no field at all.
    pub fn is_empty(&self) -> bool {
        self.beside.is_empty() && self.inside.is_empty()
    }

    /// Reads a query. A name that comes twice counts as it came last; `name[]` is a list.
    pub fn of_query(query: &str) -> Self {
        let mut beside = Map::new();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let value = Value::String(value.into_owned());
            let list = name.strip_suffix("[]").unwrap_or(&name);
            if !LISTS.contains(&list) {
                beside.insert(name.into_owned(), value);
                continue;
            }
            let list = beside
                .entry(list)
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Some(list) = list.as_array_mut() {
                list.push(value);
            }
        }
        Self::new(beside, Map::new())
    }

    fn sent(&self, name: &str) -> Option<&Value> {
        #[cfg(test)]
        self.looked_for
            .lock()
            .expect("nobody panics here")
            .insert(name.to_owned());
        self.beside.get(name).or_else(|| self.inside.get(name))
    }

    /// Whether there is something of that name.
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A field as it came; absent and null are the same.
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.sent(name).filter(|value| !value.is_null())
    }

    /// What an update says of a field that may be taken away: `None` when it says nothing,
    /// `Some(None)` when it says null, or nothing between quotes.
    fn replaced<T>(
        &self,
        name: &str,
        read: impl FnOnce() -> Result<Option<T>, Problem>,
    ) -> Result<Option<Option<T>>, Problem> {
        match self.sent(name) {
            None => Ok(None),
            Some(_) => read().map(Some),
        }
    }

    /// The client's own name for something, as for [`Self::name`]. It may not look like a guid of its
    /// kind `G`: paths take either, and the guid would win.
    pub fn own_name<G: FromStr>(&self, name: &str) -> Result<Option<String>, Problem> {
        let text = self.name(name)?;
        match text.as_ref().is_some_and(|text| text.parse::<G>().is_ok()) {
            true => Err(wrong_type(
                name,
                "a name of your own, not one like our guids",
            )),
            false => Ok(text),
        }
    }

    /// The new value of a client's own name.
    pub fn new_own_name<G: FromStr>(&self, name: &str) -> Result<Option<Option<String>>, Problem> {
        self.replaced(name, || self.own_name::<G>(name))
    }

    /// The new value of a short text field such as a name.
    pub fn new_name(&self, name: &str) -> Result<Option<Option<String>>, Problem> {
        self.replaced(name, || self.name(name))
    }

    /// The new value of `metadata`.
    pub fn new_metadata(&self) -> Result<Option<Option<String>>, Problem> {
        self.replaced("metadata", || self.metadata())
    }

    /// A text field of at most [`LONGEST_NAME`] bytes; an empty one is as absent as null.
    pub fn name(&self, name: &str) -> Result<Option<String>, Problem> {
        let text = self.short_text(name, LONGEST_NAME)?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// The names that were looked for.
    #[cfg(test)]
    pub fn looked_for(&self) -> std::collections::BTreeSet<String> {
        self.looked_for.lock().expect("nobody panics here").clone()
    }

    /// A text field; absent and null are the same.
    pub fn text(&self, name: &str) -> Result<Option<String>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(wrong_type(name, "a string")),
        }
    }

    /// A list of texts; one may stand without a list, and empty ones say nothing.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, Problem> {
        let texts = match self.get(name) {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) => vec![text.clone()],
            Some(list) => serde_json::from_value(list.clone())
                .map_err(|_| wrong_type(name, "a string or a list of strings"))?,
        };
        Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
    }

    /// A text field of at most `most` bytes without control characters.
    pub fn short_text(&self, name: &str, most: usize) -> Result<Option<String>, Problem> {
        let text = self.text(name)?;
        if let Some(text) = &text
            && (text.len() > most || text.chars().any(char::is_control))
        {
            let message =
                format!("{name} must be at most {most} bytes without control characters.");
            return Err(Problem::new(Kind::Malformed, message));
        }
        Ok(text)
    }

    /// `metadata`: free text of at most 4 kB, because every event about its owner carries it.
    pub fn metadata(&self) -> Result<Option<String>, Problem> {
        let text = self.text("metadata")?;
        match text
            .as_ref()
            .is_some_and(|text| text.len() > LONGEST_METADATA)
        {
            true => Err(wrong_type("metadata", "at most 4096 bytes long")),
            false => Ok(text),
        }
    }

    /// A boolean field; a query's `true` and `false` count, and so do those words as JSON strings.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(*flag)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(wrong_type(name, "true or false")),
        }
    }

    fn whole_number(&self, name: &str) -> Result<Option<u32>, Problem> {
        let number = match self.get(name) {
            None => return Ok(None),
            Some(Value::Number(number)) => number
                .as_u64()
                .and_then(|number| u32::try_from(number).ok()),
            Some(Value::String(text)) => text.parse().ok(),
            Some(_) => None,
        };
        number
            .map(Some)
            .ok_or_else(|| wrong_type(name, "a whole number"))
    }

    /// A count; absent is zero.
    pub fn count(&self, name: &str) -> Result<u64, Problem> {
        Ok(u64::from(self.whole_number(name)?.unwrap_or_default()))
    }

    /// `page` and `records_per_page`: out of range counts as the default (contract section 2.4).
    pub fn page(&self) -> crate::flow::PageRequest {
        let number = |name| self.whole_number(name).ok().flatten();
        crate::flow::PageRequest {
            page: number("page").filter(|page| *page > 0).unwrap_or(1),
            per_page: number("records_per_page")
                .filter(|count| (10..=1000).contains(count))
                .unwrap_or(25),
        }
    }

    /// `use_cases`.
    pub fn use_cases(&self) -> Result<Option<Vec<UseCase>>, Problem> {
        let Some(value) = self.get("use_cases") else {
            return Ok(None);
        };
        // An empty list says nothing.
        let use_cases: Result<Vec<_>, _> = serde_json::from_value(value.clone());
        use_cases
            .map(|use_cases| Some(use_cases).filter(|all| !all.is_empty()))
            .map_err(|_| wrong_type("use_cases", "a list of \"PFM\" and \"MONEY_MOVEMENT\""))
    }
}

fn wrong_type(field: &str, expected: &str) -> Problem {
    Problem::new(Kind::Malformed, format!("{field} must be {expected}."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::window::ReferralSource;

    #[test]
    fn fields_are_found_beside_inside_and_without_a_root() {
        for body in [
            r#"{"member":{"name":"x"},"referral_source":"APP"}"#,
            r#"{"member":{"name":"x","referral_source":"APP"}}"#,
            r#"{"name":"x","referral_source":"APP"}"#,
            r#"{"member":{"name":"x","referral_source":"BROWSER"},"referral_source":"APP"}"#,
        ] {
            let fields = Fields::parse(body.as_bytes(), "member").expect("a body");
            assert_eq!(
                fields.text("name").expect("text"),
                Some("x".to_owned()),
                "{body}"
            );
            assert_eq!(
                fields.wishes().expect("wishes").referral_source,
                ReferralSource::App,
                "{body}"
            );
        }
    }

    #[test]
    fn a_wrong_type_names_its_field() {
        let fields =
            Fields::parse(br#"{"member":{"is_oauth":"yes","name":5}}"#, "member").expect("a body");
        let message = |problem: Problem| format!("{problem:?}");
        assert!(
            message(fields.flag("is_oauth").expect_err("refused"))
                .contains("is_oauth must be true or false")
        );
        assert!(
            message(fields.text("name").expect_err("refused")).contains("name must be a string")
        );
    }

    #[test]
    fn page_sizes_out_of_range_count_as_25() {
        let page = |query: &str| Fields::of_query(query).page().per_page;
        assert_eq!(page("records_per_page=100"), 100);
        assert_eq!(page("records_per_page=1000"), 1000);
        for wrong in [
            "",
            "records_per_page=9",
            "records_per_page=1001",
            "records_per_page=x",
        ] {
            assert_eq!(page(wrong), 25, "{wrong}");
        }
    }
}
