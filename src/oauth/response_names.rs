//! Authorization responses whose parameters have other names at an institution.

use std::borrow::Cow;
use std::collections::BTreeMap;

use url::form_urlencoded::{self, Serializer};

use super::registered::Registered;
use crate::domain::call::MemberPath;

/// The query or form `raw` with the standard names of its parameters. Where a parameter has another name at the
/// institution, one with the standard name is something else, and is left out.
pub fn in_standard_names<'a>(at: Registered<'_>, raw: &'a [u8]) -> Cow<'a, [u8]> {
    let names = names(at);
    if names.is_empty() {
        return Cow::Borrowed(raw);
    }
    let mut standard = Serializer::new(String::with_capacity(raw.len()));
    for (name, value) in form_urlencoded::parse(raw) {
        let renamed = names.iter().find(|(_, own)| its_name(own) == name);
        match renamed {
            Some((known, _)) => standard.append_pair(known, &value),
            None if names.contains_key(&*name) => continue,
            None => standard.append_pair(&name, &value),
        };
    }
    Cow::Owned(standard.finish().into_bytes())
}

/// What the institution calls the parameter of this standard name.
pub fn name_there(at: Registered<'_>, standard: &str) -> String {
    let own = names(at).get(standard).map(its_name);
    own.unwrap_or_else(|| standard.to_owned())
}

fn names<'a>(at: Registered<'a>) -> &'a BTreeMap<String, MemberPath> {
    &at.oauth.calls.authorization.response.members
}

/// A parameter has no members, so dots are part of its name.
fn its_name(path: &MemberPath) -> String {
    path.names().join(".")
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{at, oauth, registration};
    use super::*;

    #[test]
    fn parameters_are_found_under_the_institutions_names_and_under_no_other() {
        let mut bank = oauth(&"https://bank.example".parse().unwrap());
        let registration = registration();
        let raw = b"auth_code=a%2Bb&code=0&st=x+y&iss=i";
        assert_eq!(in_standard_names(at(&bank, &registration), raw), &raw[..]);
        bank.calls.authorization.response.members = [("code", "auth_code"), ("state", "st")]
            .map(|(name, own)| (name.to_owned(), MemberPath::parse(own).unwrap()))
            .into();
        let at = at(&bank, &registration);
        let standard = in_standard_names(at, raw);
        assert_eq!(&*standard, b"code=a%2Bb&state=x+y&iss=i");
        // Whoever sends both still sends one of them twice.
        let twice = in_standard_names(at, b"auth_code=a&auth_code=b");
        assert_eq!(&*twice, b"code=a&code=b");
        assert_eq!(name_there(at, "code"), "auth_code");
        assert_eq!(name_there(at, "iss"), "iss");
    }
}
