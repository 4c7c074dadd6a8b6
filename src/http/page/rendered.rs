//! A finished page as an HTTP response, with the headers that depend on the page.
//!
//! A layer around the routes sets the headers that all responses have (transport security, caching,
//! referrer and so on).

use axum::http::StatusCode;
use axum::http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFRESH,
};
use axum::response::{IntoResponse, Response};
use url::Url;

use super::Page;
use super::assets::{SCRIPT, STYLE};
use super::brand::Accent;

const CROSS_ORIGIN_OPENER_POLICY: HeaderName =
    HeaderName::from_static("cross-origin-opener-policy");

/// A page ready to be sent.
#[derive(Clone, Debug)]
pub struct Rendered {
    status: StatusCode,
    pub(super) html: String,
    accent: Option<String>,
    has_script: bool,
    keeps_opener: bool,
    refresh_s: Option<u8>,
    form_targets: Vec<String>,
}

impl Rendered {
    pub(super) fn new(
        page: &Page,
        accent: Option<&Accent>,
        has_script: bool,
        tells_opener: bool,
    ) -> Self {
        Self {
            status: page.status(),
            html: String::new(),
            accent: accent.map(|accent| accent.hash().to_owned()),
            has_script,
            keeps_opener: tells_opener || page.is_on_the_way(),
            refresh_s: page.refresh_s(),
            form_targets: Vec::new(),
        }
    }

    /// The status it is served with.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The document.
    pub fn html(&self) -> &str {
        &self.html
    }

    /// Lets the page's form end at `target` too: browsers apply `form-action` to every redirect that
    /// follows a form. Needed for what is not https: an institution on a loopback origin, an app's return
    /// scheme. An address whose host cannot be written in a policy is left out, and the browser then does
    /// not go there.
    #[must_use]
    pub fn allow_form_action(mut self, target: &Url) -> Self {
        let source = match target.scheme() {
            "https" => return self,
            "http" => target.origin().ascii_serialization(),
            scheme => format!("{scheme}:"),
        };
        let writable = source
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-./:[]_".contains(&b));
        if writable && !self.form_targets.contains(&source) {
            self.form_targets.push(source);
        }
        self
    }

    /// The content policy: only our logos are loaded, only the page's own script runs, and nobody can
    /// frame the page.
    pub fn content_security_policy(&self) -> String {
        let mut policy = format!("default-src 'none'; style-src {}", STYLE.hash);
        if let Some(accent) = &self.accent {
            policy.push(' ');
            policy.push_str(accent);
        }
        policy.push_str("; img-src 'self'");
        if self.has_script {
            policy.push_str("; script-src ");
            policy.push_str(&SCRIPT.hash);
        }
        policy.push_str("; base-uri 'none'; form-action 'self' https:");
        for target in &self.form_targets {
            policy.push(' ');
            policy.push_str(target);
        }
        policy.push_str("; frame-ancestors 'none'; require-trusted-types-for 'script'");
        policy
    }

    /// The opener policy: a page that has a message for its opener keeps it, and so does one that leads
    /// to such a page; any other page is cut off from its opener.
    pub fn opener_policy(&self) -> &'static str {
        if self.keeps_opener {
            "unsafe-none"
        } else {
            "same-origin"
        }
    }
}

impl IntoResponse for Rendered {
    fn into_response(self) -> Response {
        let mut headers = HeaderMap::new();
        let policy = HeaderValue::try_from(self.content_security_policy())
            .expect("a policy is made of hashes and of sources limited to plain characters");
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/html; charset=utf-8"),
        );
        headers.insert(
            CROSS_ORIGIN_OPENER_POLICY,
            HeaderValue::from_static(self.opener_policy()),
        );
        if let Some(seconds) = self.refresh_s {
            headers.insert(REFRESH, HeaderValue::from(u16::from(seconds)));
        }
        (self.status, headers, self.html).into_response()
    }
}
