//! A browser without a screen: a cookie jar and no redirects of its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, SET_COOKIE, USER_AGENT};
use url::Url;

/// The HTTP client all tests share. It follows nothing.
pub fn http() -> &'static reqwest::Client {
    static HTTP: OnceLock<reqwest::Client> = OnceLock::new();
    HTTP.get_or_init(|| {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let builder = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
        // Connections are not kept: each test has a runtime of its own, and theirs end with it.
        builder
            .pool_max_idle_per_host(0)
            .no_proxy()
            .build()
            .expect("a client")
    })
}

/// A response.
#[derive(Clone, Debug)]
pub struct Page {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
    /// Where it came from.
    pub url: Url,
}

impl Page {
    /// `Location`, absolute.
    pub fn location(&self) -> Option<Url> {
        let location = self.header(LOCATION.as_str())?;
        self.url.join(location).ok()
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The stable name in `data-page`.
    pub fn name(&self) -> Option<&str> {
        self.between("data-page=\"", "\"")
    }

    /// The reason in `data-reason`.
    pub fn reason(&self) -> Option<&str> {
        self.between("data-reason=\"", "\"")
    }

    /// Where the page's first form is sent.
    pub fn form(&self) -> Option<Url> {
        let action = self.between("<form method=\"post\" action=\"", "\"")?;
        self.url.join(action).ok()
    }

    /// The form of the button with that `data-action`: where it is sent, and its fields.
    pub fn button(&self, action: &str) -> Option<(Url, Vec<(String, String)>)> {
        let mark = format!("data-action=\"{action}\"");
        let form = self
            .body
            .split("<form ")
            .find(|form| form.contains(&mark))?;
        let value = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("{name}=\""))?;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let inputs = form.split("<input ").skip(1);
        let fields = inputs.map(|input| Some((value(input, "name")?, value(input, "value")?)));
        let fields = fields.collect::<Option<Vec<_>>>()?;
        Some((self.url.join(&value(form, "action")?).ok()?, fields))
    }

    /// The support code at its end.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn support_code(&self) -> &str {
        let element = self.between("<code", "</code>").expect("a support code");
        element.split_once('>').expect("an element").1
    }

    /// The text between the first `start` and the next `end` in the body.
    pub fn between(&self, start: &str, end: &str) -> Option<&str> {
        let rest = &self.body[self.body.find(start)? + start.len()..];
        Some(&rest[..rest.find(end)?])
    }

    /// The names of the cookies it sets, with their values and attributes.
    pub fn cookies(&self) -> Vec<String> {
        let values = self.headers.get_all(SET_COOKIE).iter();
        values
            .filter_map(|value| value.to_str().ok())
            .map(str::to_owned)
            .collect()
    }
}

/// One browser. Its cookies are for the gateway alone: they go nowhere else.
#[derive(Default)]
pub struct Visitor {
    jar: Mutex<BTreeMap<String, String>>,
    /// What it calls itself; nothing by default.
    agent: Option<&'static str>,
}

/// How Chrome on a phone calls itself.
pub const ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";

/// How Safari on a phone calls itself.
pub const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1";

/// How Firefox on a desk calls itself.
pub const DESK: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0";

impl Visitor {
    /// One without cookies.
    pub fn new() -> Self {
        Self::default()
    }

    /// One without cookies that calls itself so.
    pub fn called(agent: &'static str) -> Self {
        let agent = Some(agent);
        Self {
            agent,
            ..Self::default()
        }
    }

    /// A GET without any `Sec-Fetch-*` header.
    pub async fn get(&self, url: &Url) -> Page {
        self.get_with(url, &[]).await
    }

    /// A GET with more headers.
    pub async fn get_with(&self, url: &Url, headers: &[(&str, &str)]) -> Page {
        self.send("GET", url, headers, None).await
    }

    /// A form sent.
    pub async fn post(&self, url: &Url, fields: &[(&str, &str)]) -> Page {
        self.post_with(url, fields, &[]).await
    }

    /// Presses the button with that `data-action`, which is a form.
    ///
    /// # Panics
    ///
    /// If the page has no such button.
    pub async fn press(&self, page: &Page, action: &str) -> Page {
        let (to, fields) = page
            .button(action)
            .unwrap_or_else(|| panic!("no {action} on {}", page.body));
        let fields: Vec<(&str, &str)> = fields
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str()))
            .collect();
        self.post(&to, &fields).await
    }

    /// A form sent with more headers.
    pub async fn post_with(
        &self,
        url: &Url,
        fields: &[(&str, &str)],
        headers: &[(&str, &str)],
    ) -> Page {
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send("POST", url, headers, Some(form)).await
    }

    /// Any request.
    pub async fn send(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        form: Option<String>,
    ) -> Page {
        let mut request = http().request(method.parse().expect("a method"), url.clone());
        for (name, value) in headers {
            request = request.header(*name, value.as_bytes());
        }
        if let Some(cookies) = self.cookie_header() {
            request = request.header(COOKIE, cookies.as_bytes());
        }
        if let Some(agent) = self.agent {
            request = request.header(USER_AGENT, agent);
        }
        if let Some(form) = form {
            request = request
                .header("content-type", "application/x-www-form-urlencoded")
                .body(form);
        }
        let response = request.send().await.expect("a response");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.text().await.unwrap_or_default();
        let page = Page {
            status,
            headers,
            body,
            url: url.clone(),
        };
        self.keep(&page);
        page
    }

    /// A GET, and the redirects that follow while they stay on the same origin. A page that waits for
    /// an exchange is asked again, as it says, for a while.
    pub async fn follow(&self, url: &Url) -> Page {
        self.follow_from(self.get(url).await).await
    }

    /// What [`Self::follow`] does, from a page that is there already.
    pub async fn follow_from(&self, mut page: Page) -> Page {
        let origin = page.url.origin();
        let until = tokio::time::Instant::now() + Duration::from_secs(20);
        for _ in 0..8 {
            while page.name() == Some("connecting") && tokio::time::Instant::now() < until {
                page = self.get(&page.url.clone()).await;
            }
            let next = page
                .location()
                .filter(|next| (300..400).contains(&page.status) && next.origin() == origin);
            let Some(next) = next else { break };
            page = self.get(&next).await;
        }
        page
    }

    /// The cookies it holds, as it sends them.
    pub fn cookie_header(&self) -> Option<String> {
        let jar = self.jar.lock().expect("not poisoned");
        let pairs: Vec<String> = jar
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Puts a cookie into the jar.
    pub fn plant(&self, name: &str, value: &str) {
        self.jar
            .lock()
            .expect("not poisoned")
            .insert(name.to_owned(), value.to_owned());
    }

    fn keep(&self, page: &Page) {
        let mut jar = self.jar.lock().expect("not poisoned");
        for cookie in page.cookies() {
            let Some((name, rest)) = cookie.split_once('=') else {
                continue;
            };
            let value = rest.split(';').next().unwrap_or_default();
            if value.is_empty() || rest.contains("Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}
