//! An authorization response on its way, as the browser has it.

use url::Url;

use crate::support::visitor::{Page, Visitor};

/// Where a browser goes from the institution, and with what. It is free to be spoilt before it is delivered.
#[derive(Clone, Debug)]
pub struct Brought {
    /// The redirect URI, without what was added to it.
    pub to: Url,
    pub pairs: Vec<(String, String)>,
    /// Whether a page posts it, or else the address has it.
    pub is_posted: bool,
}

impl Brought {
    /// What a page of the institution's says; nothing if it sends nobody back.
    pub fn of(page: &Page) -> Option<Self> {
        if let Some(mut to) = page.location() {
            let pairs = to.query_pairs().into_owned().collect();
            to.set_query(None);
            return Some(Self {
                to,
                pairs,
                is_posted: false,
            });
        }
        let to = page.between("action=\"", "\"")?.replace("&amp;", "&");
        let field = |input: &str| {
            let (name, rest) = input.split_once("\" value=\"")?;
            let value = rest.split('"').next()?;
            let value = value.replace("&lt;", "<").replace("&quot;", "\"");
            Some((name.to_owned(), value.replace("&amp;", "&")))
        };
        let inputs = page.body.split("<input type=\"hidden\" name=\"").skip(1);
        Some(Self {
            to: page.url.join(&to).ok()?,
            pairs: inputs.filter_map(field).collect(),
            is_posted: true,
        })
    }

    /// The value of a parameter, if it is there.
    pub fn value(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// Has the browser bring it, and follow where it leads.
    pub async fn deliver(&self, visitor: &Visitor) -> Page {
        if !self.is_posted {
            let mut to = self.to.clone();
            if !self.pairs.is_empty() {
                to.query_pairs_mut().extend_pairs(&self.pairs);
            }
            return visitor.follow(&to).await;
        }
        let fields: Vec<(&str, &str)> = self
            .pairs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        visitor
            .follow_from(visitor.post(&self.to, &fields).await)
            .await
    }
}
