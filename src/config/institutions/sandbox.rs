//! `[sandbox]` of an institution file: a twin of the institution, with addresses of its own.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::calls::address;
use crate::config::address::{HttpsUrl, Issuer};
use crate::config::reading::Reading;
use crate::config::value::Label;
use crate::domain::call::CallName;
use crate::domain::id::{InstitutionCode, InstitutionGuid};
use crate::domain::institution::{Institution, OAuth, SubjectSource};

/// `[sandbox]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawSandbox {
    pub guid: InstitutionGuid,
    pub code: InstitutionCode,
    name: Option<Label>,
    authorization_endpoint: HttpsUrl,
    token_endpoint: HttpsUrl,
    revocation_endpoint: Option<HttpsUrl>,
    issuer: Option<Issuer>,
    identify_endpoint: Option<HttpsUrl>,
    #[serde(default)]
    urls: BTreeMap<String, String>,
}

impl RawSandbox {
    /// The twin of `institution`: the same in everything but what stands here. Whatever has an address there
    /// must have one here, so that no call of the twin reaches the institution itself.
    pub fn build(self, reading: &Reading<'_>, institution: &Institution) -> Option<Institution> {
        let Some(oauth) = &institution.oauth else {
            reading.invalid(
                "sandbox",
                "is beside an institution without OAuth, which has no addresses; remove it",
            );
            return None;
        };
        Some(Institution {
            guid: self.guid,
            code: self.code.clone(),
            name: match &self.name {
                Some(name) => name.0.clone(),
                None => format!("{} (sandbox)", institution.name),
            },
            oauth: Some(self.oauth(reading, oauth)),
            ..institution.clone()
        })
    }

    fn oauth(self, reading: &Reading<'_>, real: &OAuth) -> OAuth {
        let both = |key: &str, real: bool, twin: bool| {
            let problem = match (real, twin) {
                (true, false) => {
                    "is missing: the institution has one, and the twin must not call that; add it"
                }
                (false, true) => "is not in [oauth]; remove it, or add it there",
                _ => return,
            };
            reading.invalid(&format!("sandbox.{key}"), problem);
        };
        both(
            "revocation_endpoint",
            real.revocation_endpoint.is_some(),
            self.revocation_endpoint.is_some(),
        );
        both("issuer", real.issuer.is_some(), self.issuer.is_some());
        let identifies = matches!(real.subject, Some(SubjectSource::Identify { .. }));
        both(
            "identify_endpoint",
            identifies,
            self.identify_endpoint.is_some(),
        );
        let mut oauth = OAuth {
            authorization_endpoint: self.authorization_endpoint.0,
            token_endpoint: self.token_endpoint.0,
            revocation_endpoint: self.revocation_endpoint.map(|url| url.0),
            issuer: self.issuer.map(|issuer| issuer.0),
            subject: match (&real.subject, self.identify_endpoint) {
                (Some(SubjectSource::Identify { field, .. }), Some(HttpsUrl(endpoint))) => {
                    Some(SubjectSource::Identify {
                        endpoint,
                        field: field.clone(),
                    })
                }
                (subject, _) => subject.clone(),
            },
            ..real.clone()
        };
        for name in CallName::ALL {
            let key = format!("urls.{}", name.name());
            let text = self.urls.get(name.name());
            let call = oauth.calls.get(name).cloned();
            let has_url = call.as_ref().is_some_and(|call| call.url.is_some());
            both(&key, has_url, text.is_some());
            if let (Some(mut call), Some(text)) = (call, text) {
                match address(&oauth.values, text) {
                    Ok(url) => call.url = Some(url),
                    Err(problem) => drop(reading.wrong(&format!("sandbox.{key}"), problem)),
                }
                oauth.calls.set(name, call);
            }
        }
        let is_known = |name: &&String| CallName::ALL.iter().any(|call| call.name() == **name);
        if let Some(name) = self.urls.keys().find(|name| !is_known(name)) {
            let known: Vec<&str> = CallName::ALL.iter().map(|call| call.name()).collect();
            let problem = format!("is no call; write one of {}", known.join(", "));
            reading.wrong(&format!("sandbox.urls.{name}"), problem);
        }
        oauth
    }
}
