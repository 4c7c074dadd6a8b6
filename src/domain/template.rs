//! Texts of an institution file with places that are filled for each call: `{name}`.
//!
//! A value never adds anything but itself: it is encoded for the place where it stands, and an address
//! that would lead to another host than its file lists is not made.

use std::fmt::Write as _;

use url::Url;
use zeroize::Zeroizing;

/// Finds the value of a place by its name; `None`: there is none.
pub type Values<'a> = dyn Fn(&str) -> Option<Zeroizing<String>> + 'a;

/// A text with places.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(String),
}

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its other one.
    #[error(
        "has a single brace; write places as {{name}}, and a brace that is meant itself twice: {{{{ or }}}}"
    )]
    Brace,
    /// Braces around something that is no name.
    #[error(
        "has {{{0}}}, which is no name; write lower-case letters, digits and _ between the braces"
    )]
    Name(String),
}

impl Template {
    /// Reads a text. `{{` and `}}` are braces.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] says what to write instead.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            rest = &rest[at..];
            if let Some(after) = rest.strip_prefix("{{") {
                plain.push('{');
                rest = after;
            } else if let Some(after) = rest.strip_prefix("}}") {
                plain.push('}');
                rest = after;
            } else {
                let inner = rest.strip_prefix('{').ok_or(TemplateError::Brace)?;
                let (name, after) = inner.split_once('}').ok_or(TemplateError::Brace)?;
                if !is_name(name) {
                    return Err(TemplateError::Name(name.to_owned()));
                }
                if !plain.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut plain)));
                }
                parts.push(Part::Place(name.to_owned()));
                rest = after;
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The names of its places.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Place(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text with its places filled; `None`: one of them has no value.
    pub fn fill(&self, values: &Values<'_>) -> Option<Zeroizing<String>> {
        self.fill_with(values, |value| Zeroizing::new(value.to_owned()))
    }

    fn fill_with(
        &self,
        values: &Values<'_>,
        encode: impl Fn(&str) -> Zeroizing<String>,
    ) -> Option<Zeroizing<String>> {
        let mut filled = Zeroizing::new(String::new());
        for part in &self.0 {
            match part {
                Part::Text(text) => filled.push_str(text),
                Part::Place(name) => filled.push_str(&encode(&values(name)?)),
            }
        }
        Some(filled)
    }
}

/// Whether it can stand between braces: 1 to 64 lower-case letters, digits and underscores, a letter first.
pub fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(allowed)
}

/// An address with places. Those in its host have listed values only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlTemplate {
    origin: Template,
    segments: Vec<Template>,
    query: Option<Template>,
    /// The address for each host that there may be, with `x` in every other place.
    possible: Vec<Url>,
}

impl UrlTemplate {
    /// Reads an address; what is wrong with its text as an address is `read`'s to say. `choices` has the listed
    /// values of a name; `None`: it has none, so it cannot stand in a host.
    ///
    /// # Errors
    ///
    /// A sentence that says what to write instead.
    pub fn parse(
        text: &str,
        choices: impl Fn(&str) -> Option<Vec<String>>,
        read: impl Fn(&str) -> Result<Url, String>,
    ) -> Result<Self, String> {
        let of = |text: &str| Template::parse(text).map_err(|error| error.to_string());
        let start = text.find("://").map_or(0, |at| at + 3);
        let end = text[start..]
            .find(['/', '?', '#'])
            .map_or(text.len(), |at| start + at);
        let (origin, rest) = text.split_at(end);
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        let template = Self {
            origin: of(origin)?,
            segments: path
                .strip_prefix('/')
                .map(|path| path.split('/').map(of).collect::<Result<_, _>>())
                .transpose()?
                .unwrap_or_default(),
            query: query.map(of).transpose()?,
            possible: Vec::new(),
        };
        // Every combination of the listed values, one place after the other.
        let mut fillings: Vec<Vec<(String, String)>> = vec![Vec::new()];
        for name in template.origin.names() {
            let listed = choices(name).ok_or_else(|| {
                format!(
                    "has {{{name}}} in its host, and nothing lists what that may be; only a value of type = \
                     \"choice\" can stand there"
                )
            })?;
            fillings = fillings
                .iter()
                .flat_map(|known| {
                    listed.iter().map(|value| {
                        let one = [(name.to_owned(), value.clone())];
                        known.iter().cloned().chain(one).collect()
                    })
                })
                .collect();
        }
        let mut possible = Vec::new();
        for filling in fillings {
            let value = |name: &str| {
                let mut known = filling.iter();
                let known = known.find(|(known, _)| known == name);
                let value = known.map_or("x", |(_, value)| value.as_str());
                Some(Zeroizing::new(value.to_owned()))
            };
            let filled = template.text(&value).ok_or("is not an address")?;
            let url = read(&filled)?;
            let is_plain = |(_, value): &(String, String)| {
                value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b))
            };
            if !filling.iter().all(is_plain) {
                return Err(
                    "has a value in its host that is no part of a host name; list letters, digits, - and . only"
                        .to_owned(),
                );
            }
            possible.push(url);
        }
        Ok(Self {
            possible,
            ..template
        })
    }

    /// The names of its places.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let templates = [&self.origin].into_iter().chain(&self.segments);
        templates.chain(&self.query).flat_map(Template::names)
    }

    /// The address for each host that there may be; what else is filled is `x` in it.
    pub fn possible(&self) -> &[Url] {
        &self.possible
    }

    /// The address with its places filled; `None`: one of them has no value, or one that would change more
    /// than its place.
    pub fn fill(&self, values: &Values<'_>) -> Option<Url> {
        let url = Url::parse(&self.text(values)?).ok()?;
        let is_listed = |possible: &Url| possible.origin() == url.origin();
        self.possible.iter().any(is_listed).then_some(url)
    }

    fn text(&self, values: &Values<'_>) -> Option<Zeroizing<String>> {
        let mut text = self.origin.fill(values)?;
        for segment in &self.segments {
            let filled = segment.fill_with(values, percent_encoded)?;
            let has_place = segment.names().next().is_some();
            let dots = filled.to_ascii_lowercase().replace("%2e", ".");
            if has_place && matches!(dots.as_str(), "" | "." | "..") {
                return None;
            }
            text.push('/');
            text.push_str(&filled);
        }
        if let Some(query) = &self.query {
            text.push('?');
            text.push_str(&query.fill_with(values, percent_encoded)?);
        }
        Some(text)
    }
}

/// Percent-encodes everything but the unreserved characters (RFC 3986 section 2.3).
pub fn percent_encoded(text: &str) -> Zeroizing<String> {
    percent_encoded_but(text, b"")
}

/// The same, and leaves the characters in `plain` as they are.
pub fn percent_encoded_but(text: &str, plain: &[u8]) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() || plain.contains(&byte) => {
                encoded.push(char::from(byte));
            }
            byte => write!(encoded, "%{byte:02X}").expect("writing to a text cannot fail"),
        }
    }
    encoded
}

/// A JSON value whose texts are templates.
#[derive(Clone, Debug, PartialEq)]
pub enum JsonTemplate {
    /// A text.
    Text(Template),
    /// A list.
    List(Vec<JsonTemplate>),
    /// An object, its members in the order of its file.
    Object(Vec<(String, JsonTemplate)>),
    /// Anything else, as it is.
    Other(serde_json::Value),
}

impl JsonTemplate {
    /// Reads a value.
    ///
    /// # Errors
    ///
    /// [`TemplateError`] of one of its texts.
    pub fn parse(value: serde_json::Value) -> Result<Self, TemplateError> {
        use serde_json::Value;
        Ok(match value {
            Value::String(text) => Self::Text(Template::parse(&text)?),
            Value::Array(items) => Self::List(
                items
                    .into_iter()
                    .map(Self::parse)
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(members) => Self::Object(
                members
                    .into_iter()
                    .map(|(name, value)| Ok((name, Self::parse(value)?)))
                    .collect::<Result<_, _>>()?,
            ),
            other => Self::Other(other),
        })
    }

    /// The names of its places.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Text(template) => template.names().collect(),
            Self::List(items) => items.iter().flat_map(Self::names).collect(),
            Self::Object(members) => members.iter().flat_map(|(_, it)| it.names()).collect(),
            Self::Other(_) => Vec::new(),
        }
    }

    /// The value with its places filled; what has a place without a value is left out. `None`: that is all of it.
    pub fn fill(&self, values: &Values<'_>) -> Option<serde_json::Value> {
        use serde_json::Value;
        Some(match self {
            Self::Text(template) => Value::String(template.fill(values)?.to_string()),
            Self::List(items) => items.iter().filter_map(|it| it.fill(values)).collect(),
            Self::Object(members) => {
                let filled = members
                    .iter()
                    .filter_map(|(name, it)| Some((name.clone(), it.fill(values)?)));
                Value::Object(filled.collect())
            }
            Self::Other(value) => value.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(name: &str) -> Option<Zeroizing<String>> {
        let value = match name {
            "region" => "eu",
            "evil" => "a&b=c/../d?e#f\r\nX: y",
            "dots" => "..",
            "elsewhere" => "evil.example",
            _ => return None,
        };
        Some(Zeroizing::new(value.to_owned()))
    }

    fn address(text: &str) -> Result<UrlTemplate, String> {
        let listed = |name: &str| {
            (name == "region" || name == "elsewhere")
                .then(|| vec!["eu".to_owned(), "us".to_owned()])
        };
        let read = |text: &str| Url::parse(text).map_err(|error| error.to_string());
        UrlTemplate::parse(text, listed, read)
    }

    #[test]
    fn a_place_is_filled_and_a_double_brace_is_one() {
        let template = Template::parse("AIS:{region}{{x}}").unwrap();
        assert_eq!(template.names().collect::<Vec<_>>(), ["region"]);
        assert_eq!(*template.fill(&values).unwrap(), "AIS:eu{x}");
        assert!(
            Template::parse("{nothing}")
                .unwrap()
                .fill(&values)
                .is_none()
        );
        for (text, expected) in [
            ("{", TemplateError::Brace),
            ("a}", TemplateError::Brace),
            ("{a", TemplateError::Brace),
            ("{}", TemplateError::Name(String::new())),
            ("{A b}", TemplateError::Name("A b".to_owned())),
        ] {
            assert_eq!(Template::parse(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a10_a_value_fills_its_place_in_an_address_and_nothing_else() {
        let at = |text: &str| address(text).unwrap().fill(&values);
        assert_eq!(
            at("https://{region}.bank.example/t").unwrap().as_str(),
            "https://eu.bank.example/t"
        );
        assert_eq!(
            at("https://bank.example/c/{evil}?q={evil}&z=1")
                .unwrap()
                .as_str(),
            "https://bank.example/c/a%26b%3Dc%2F..%2Fd%3Fe%23f%0D%0AX%3A%20y\
             ?q=a%26b%3Dc%2F..%2Fd%3Fe%23f%0D%0AX%3A%20y&z=1"
        );
        for none in [
            "https://bank.example/a/{dots}/b",
            "https://bank.example/a/{nothing}",
            // Its list has changed since the value was given.
            "https://{elsewhere}.bank.example/",
        ] {
            assert_eq!(at(none), None, "{none}");
        }
    }

    #[test]
    fn s2_only_listed_values_stand_in_a_host() {
        let refused = address("https://{evil}.bank.example/").unwrap_err();
        assert!(refused.contains("{evil} in its host"), "{refused}");
        let two = address("https://{region}.bank.example/").unwrap();
        let hosts: Vec<_> = two.possible().iter().map(Url::as_str).collect();
        assert_eq!(
            hosts,
            ["https://eu.bank.example/", "https://us.bank.example/"]
        );
        let odd = UrlTemplate::parse(
            "https://bank.example{region}/",
            |_| Some(vec![".evil.example#".to_owned()]),
            |text| Url::parse(text).map_err(|error| error.to_string()),
        );
        assert!(odd.unwrap_err().contains("no part of a host name"));
    }

    #[test]
    fn json_is_filled_where_it_has_texts() {
        let template = serde_json::json!({"a": ["{region}", 1, "{nothing}"], "b": "{nothing}", "c": {"d": true}});
        let template = JsonTemplate::parse(template).unwrap();
        assert_eq!(template.names(), ["region", "nothing", "nothing"]);
        let filled = template.fill(&values).unwrap();
        assert_eq!(
            filled,
            serde_json::json!({"a": ["eu", 1], "c": {"d": true}})
        );
    }
}
