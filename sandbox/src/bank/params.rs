//! Parameters of OAuth: in a query or a form, at most once each (RFC 6749, section 3.1).

/// Decoded name and value pairs, in the order they came.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

/// A parameter that came more than once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is there more than once")]
pub(super) struct Repeated(pub(super) &'static str);

impl Params {
    /// Decodes `application/x-www-form-urlencoded` text.
    pub(super) fn parse(encoded: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(encoded).into_owned().collect())
    }

    /// The value of `name`. An empty value counts as none.
    ///
    /// # Errors
    /// [`Repeated`] when there are two.
    pub(super) fn one(&self, name: &'static str) -> Result<Option<&str>, Repeated> {
        let mut values = self.every(name);
        let value = values.next();
        if values.next().is_some() {
            return Err(Repeated(name));
        }
        Ok(value.filter(|value| !value.is_empty()))
    }

    /// The value of `name` in a form of our own pages; nothing when it came twice.
    pub(super) fn field(&self, name: &'static str) -> &str {
        self.one(name).ok().flatten().unwrap_or_default()
    }

    /// All values of `name`.
    pub(super) fn every(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_forms() {
        let params = Params::parse(b"a=1&b=x%26+y&empty=&twice=1&twice=2");
        assert_eq!(params.one("a"), Ok(Some("1")));
        assert_eq!(params.one("b"), Ok(Some("x& y")));
        assert_eq!(params.one("empty"), Ok(None));
        assert_eq!(params.one("absent"), Ok(None));
        assert_eq!(params.one("twice"), Err(Repeated("twice")));
        assert_eq!(params.field("twice"), "");
        assert_eq!(params.every("twice").collect::<Vec<_>>(), ["1", "2"]);
    }
}
