//! The ways an institution's endpoint can behave, from honest to hostile, one name each.

use std::io::Write as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Response, StatusCode, header};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Frame, SizeHint};
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Interval, interval};
use url::Url;

use super::loopback::{Answer, HangUp, Recorded};

/// What an endpoint does with the next request. An honest response is made first where one is needed, so
/// that a code is spent or a token issued exactly as it would have been.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// By the book.
    Honest,
    /// An OAuth error (RFC 6749, section 5.2) with this status, `error` and description.
    Error(u16, &'static str, &'static str),
    /// This status, content type and body, whatever was asked.
    Says(u16, &'static str, String),
    /// A redirect with this status to that address.
    Redirect(u16, Url),
    /// A maintenance page with status 200, where JSON was promised.
    Html,
    /// The honest response with a field of this many bytes added to it.
    Huge(usize),
    /// The honest response, but not before the gate is opened.
    Hold(Gate),
    /// The honest response, a byte a second.
    Drip,
    /// Reads the request, does the honest work, then closes the connection without a response.
    HangUp,
    /// The head of the honest response and half its body, then closes the connection.
    CutShort,
    /// A few kilobytes of gzip that unpack to the honest response and 64 MiB of white space.
    GzipBomb,
    /// The honest response with this field set to that value, of whatever type.
    With(&'static str, Value),
    /// The honest response without this field.
    Without(&'static str),
    /// The honest response with a second, different `access_token` after the first.
    DuplicateAccessToken,
    /// The honest response with a field that holds this many nested arrays.
    Deep(usize),
    /// What the test makes of the request and the honest response.
    Made(Made),
}

/// See [`Behaviour::Made`].
#[derive(Clone)]
pub struct Made(Arc<Maker>);

type Maker = dyn Fn(&Recorded, &Honest) -> Response<Body> + Send + Sync;

impl std::fmt::Debug for Made {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Made")
    }
}

impl Behaviour {
    /// What the test makes of the request and the honest response.
    pub fn made(
        make: impl Fn(&Recorded, &Honest) -> Response<Body> + Send + Sync + 'static,
    ) -> Self {
        Self::Made(Made(Arc::new(make)))
    }

    /// The honest response with another status and other headers, and a text before it.
    pub fn wrapped(
        status: u16,
        headers: &'static [(&'static str, &'static str)],
        before: &'static str,
    ) -> Self {
        Self::made(move |_, honest| {
            let body = format!("{before}{}", Value::Object(honest.fields.clone()));
            let mut response = Response::new(Body::from(body));
            *response.status_mut() = StatusCode::from_u16(status).expect("a real status");
            for (name, value) in headers {
                let value = header::HeaderValue::from_static(value);
                response.headers_mut().append(*name, value);
            }
            response
        })
    }

    /// The refusal of a code or refresh token.
    pub fn invalid_grant() -> Self {
        Self::Error(400, "invalid_grant", "the code is not valid")
    }

    /// The refusal of the client's credentials.
    pub fn invalid_client() -> Self {
        Self::Error(401, "invalid_client", "unknown client or wrong secret")
    }

    /// An institution that is away for maintenance.
    pub fn unavailable() -> Self {
        Self::Says(503, "text/plain", "down for maintenance".to_owned())
    }

    /// Turns what an honest endpoint would say into what this one says. An honest refusal
    /// (a status of 400 or more) is passed on: only successful responses are changed.
    pub async fn apply(self, request: &Recorded, honest: Honest) -> Answer {
        if let Self::Made(Made(make)) = &self {
            return Ok(make(request, &honest));
        }
        let Honest { status, fields } = honest;
        let plain = Value::Object(fields.clone()).to_string();
        let good = status < 400;
        match self {
            Self::Error(status, error, description) => {
                let body = json!({"error": error, "error_description": description});
                Ok(response(status, "application/json", body.to_string()))
            }
            Self::Says(status, content_type, body) => Ok(response(status, content_type, body)),
            Self::Redirect(status, to) => {
                let mut response = response(status, "text/plain", "");
                let to = to.as_str().parse().expect("a URL is a header value");
                response.headers_mut().insert(header::LOCATION, to);
                Ok(response)
            }
            Self::Html => Ok(response(
                200,
                "text/html; charset=utf-8",
                "<!doctype html><title>Maintenance</title><h1>Back soon</h1>",
            )),
            Self::HangUp => Err(HangUp),
            Self::Hold(gate) => {
                gate.wait().await;
                Ok(json_response(status, plain))
            }
            Self::With(name, value) if good => {
                let mut fields = fields;
                fields.insert(name.to_owned(), value);
                Ok(json_response(status, Value::Object(fields).to_string()))
            }
            Self::Without(name) if good => {
                let mut fields = fields;
                fields.remove(name);
                Ok(json_response(status, Value::Object(fields).to_string()))
            }
            Self::Huge(bytes) if good => {
                let padding = format!("\"padding\":\"{}\"", "x".repeat(bytes));
                Ok(json_response(status, append(&plain, &padding)))
            }
            Self::Deep(depth) if good => {
                let nested = format!("\"nested\":{}{}", "[".repeat(depth), "]".repeat(depth));
                Ok(json_response(status, append(&plain, &nested)))
            }
            Self::DuplicateAccessToken if good => {
                let second = "\"access_token\":\"another-access-token\"";
                Ok(json_response(status, append(&plain, second)))
            }
            Self::Drip => {
                let body = Body::new(Drip::new(plain));
                Ok(response(status, "application/json", body))
            }
            Self::CutShort => {
                let body = Body::new(Half::Fresh(plain.into()));
                Ok(response(status, "application/json", body))
            }
            Self::GzipBomb => {
                let mut response = response(status, "application/json", gzip_bomb(&plain));
                let gzip = header::HeaderValue::from_static("gzip");
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, gzip);
                Ok(response)
            }
            Self::Honest
            | Self::Made(_)
            | Self::With(..)
            | Self::Without(_)
            | Self::Huge(_)
            | Self::Deep(_)
            | Self::DuplicateAccessToken => Ok(json_response(status, plain)),
        }
    }
}

/// What an honest endpoint would say: a status and the fields of a JSON object.
pub struct Honest {
    pub status: u16,
    pub fields: Map<String, Value>,
}

impl Honest {
    /// Status 200 with `fields`, which must be a JSON object.
    pub fn good(fields: &Value) -> Self {
        Self::new(200, fields)
    }

    /// An OAuth error (RFC 6749, section 5.2).
    pub fn refusal(status: u16, error: &str, description: &str) -> Self {
        Self::new(
            status,
            &json!({"error": error, "error_description": description}),
        )
    }

    fn new(status: u16, fields: &Value) -> Self {
        let fields = fields.as_object().expect("a JSON object").clone();
        Self { status, fields }
    }
}

/// Holds responses back until a test opens it; opened once, it stays open. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Gate {
    /// A closed gate.
    pub fn closed() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Lets everything through that waits or will come.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is open.
    pub async fn wait(&self) {
        // The sender lives in `self`, so the wait cannot end for want of one.
        let _ = self.0.subscribe().wait_for(|open| *open).await;
    }
}

/// A response with this status, content type and body, never cached.
pub fn response(status: u16, content_type: &str, body: impl Into<Body>) -> Response<Body> {
    Response::builder()
        .status(StatusCode::from_u16(status).expect("a test names a real status"))
        .header(header::CONTENT_TYPE, content_type)
        .header(header::CACHE_CONTROL, "no-store")
        .body(body.into())
        .expect("status and headers are valid")
}

pub fn json_response(status: u16, body: String) -> Response<Body> {
    response(status, "application/json", body)
}

/// `object` with `member` written after its last one, as text: no JSON library would write
/// the same key twice or ten thousand levels.
fn append(object: &str, member: &str) -> String {
    let inside = object.trim_end().trim_end_matches('}');
    format!("{inside},{member}}}")
}

fn gzip_bomb(plain: &str) -> Vec<u8> {
    let mebibyte = vec![b' '; 1 << 20];
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(plain.as_bytes()).expect("memory takes it");
    for _ in 0..64 {
        packed.write_all(&mebibyte).expect("memory takes it");
    }
    packed.finish().expect("memory takes it")
}

/// A body that comes a byte a second.
struct Drip {
    bytes: Bytes,
    pace: Interval,
}

impl Drip {
    fn new(body: String) -> Self {
        Self {
            bytes: body.into(),
            pace: interval(Duration::from_secs(1)),
        }
    }
}

impl hyper::body::Body for Drip {
    type Data = Bytes;
    type Error = HangUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_tick(context));
        Poll::Ready(Some(Ok(Frame::data(self.bytes.split_to(1)))))
    }
}

/// The first half of a body whose whole length was announced, then the end of the
/// connection.
enum Half {
    /// Nothing is sent yet of this body.
    Fresh(Bytes),
    /// The half is handed over; the server has yet to be given the time to send it.
    Sending,
    /// All that will come has been sent.
    Sent,
}

impl hyper::body::Body for Half {
    type Data = Bytes;
    type Error = HangUp;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HangUp>>> {
        match &mut *self {
            Self::Fresh(whole) => {
                let half = whole.slice(..whole.len() / 2);
                *self = Self::Sending;
                Poll::Ready(Some(Ok(Frame::data(half))))
            }
            Self::Sending => {
                *self = Self::Sent;
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Sent => Poll::Ready(Some(Err(HangUp))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Fresh(whole) => SizeHint::with_exact(whole.len() as u64),
            Self::Sending | Self::Sent => SizeHint::default(),
        }
    }
}
