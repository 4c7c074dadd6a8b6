//! What clients send: JSON bodies and queries, with each field declared once.

mod field;
mod kinds;
mod sent;

pub(crate) use field::request;
pub use field::{
    Described, Field, FieldError, Find, Name, Request, Schemas, key, parameters, property, schema,
};
pub use kinds::{
    AnyText, FieldGuid, Filled, Flag, Handle, Label, Line, List, Metadata, Number, Object, OwnName,
    Secret, SomeOf, Source, StatusId, Text, Texts, TextsByName, Word,
};
pub use sent::{Sent, TooSlow, Whole, callback_payload, webhook_choice};

use serde_json::{Map, Value};

use super::problem::{Kind, Problem};

/// Parameters of a query that are lists, and may come more than once.
const LISTS: [&str; 1] = ["iso_country_code"];

/// The fields of a request: next to the root object, inside it, or without a root (CONTRACT.md 1.2). A
/// field next to the root wins over one inside.
#[derive(Default)]
pub struct Fields {
    beside: Map<String, Value>,
    inside: Map<String, Value>,
}

impl Fields {
    /// Reads a JSON body whose root object is called `root`.
    pub fn parse(body: &[u8], root: &'static str) -> Result<Self, Problem> {
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
            Some(_) => return Err(Name::top(root).must_be("an object").into()),
        };
        Ok(Self { beside, inside })
    }

    /// Reads the body, if there is one, and the query for fields that the body leaves out.
    pub fn of_request(body: &[u8], query: &str, root: &'static str) -> Result<Self, Problem> {
        let mut fields = Self::of_query(query);
        if !body.iter().all(u8::is_ascii_whitespace) {
            let sent = Self::parse(body, root)?;
            fields.beside.extend(sent.inside);
            fields.beside.extend(sent.beside);
        }
        Ok(fields)
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
        let inside = Map::new();
        Self { beside, inside }
    }

    /// The fields of a declared request that were sent.
    pub fn take<R: Request>(&self) -> R {
        let sent = |key| self.beside.get(key).or_else(|| self.inside.get(key));
        R::find(&|key| (Name::top(key), sent(key).cloned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::window::ReferralSource;
    use crate::http::requests::{NexusMemberRequestBody, PagesQuery};

    #[test]
    fn fields_are_found_beside_inside_and_without_a_root() {
        for body in [
            r#"{"member":{"name":"x"},"referral_source":"APP"}"#,
            r#"{"member":{"name":"x","referral_source":"APP"}}"#,
            r#"{"name":"x","referral_source":"APP"}"#,
            r#"{"member":{"name":"x","referral_source":"BROWSER"},"referral_source":"APP"}"#,
        ] {
            let fields = Fields::parse(body.as_bytes(), "member").expect("a body");
            let NexusMemberRequestBody {
                member,
                link_options,
                ..
            } = fields.take();
            assert_eq!(member.new.name.read(), Ok(Some("x".to_owned())), "{body}");
            let source = link_options.referral_source.read();
            assert_eq!(source, Ok(Some(ReferralSource::App)), "{body}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let body = br#"{"member":{"is_oauth":"yes","name":5,"data_request":{"products":["x"]}}}"#;
        let fields = Fields::parse(body, "member").expect("a body");
        let NexusMemberRequestBody { member, jobs, .. } = fields.take();
        let error = member.new.is_oauth.read().expect_err("refused").to_string();
        assert_eq!(error, "is_oauth must be true or false.");
        let error = member.new.name.read().expect_err("refused").to_string();
        assert!(error.starts_with("name must be a string"), "{error}");
        let asked = jobs.data_request.read().expect("an object").expect("one");
        let error = asked.products.read().expect_err("refused").to_string();
        assert!(
            error.starts_with("data_request.products must be"),
            "{error}"
        );
    }

    #[test]
    fn page_sizes_out_of_range_count_as_25() {
        let page = |query: &str| Fields::of_query(query).take::<PagesQuery>().page().per_page;
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
