//! A document that an institution publishes: its metadata or its keys. It is read by GET, without anything
//! that is secret.

use std::time::Duration;

use oauth2::http::header::{CACHE_CONTROL, HeaderMap};
use reqwest::Response;
use tokio::time::Instant;

use super::reply::is_coded;
use super::transport_error::{MediaType, TransportError};
use crate::outgoing::{self, BodyError};

/// How long a document may be, in bytes.
pub const LIMIT: usize = 256 * 1024;

/// A document.
pub struct Document {
    /// Its bytes, all of them.
    pub bytes: Vec<u8>,
    /// For how long it may be kept, as the institution says (RFC 9111 section 5.2.2).
    pub max_age: Option<Duration>,
}

impl Document {
    /// Reads it until `deadline`; `late` is the error if that is not all.
    ///
    /// # Errors
    ///
    /// The status is not 200, it is HTML or in a content coding, it is longer than 256 kB, or it broke off.
    pub async fn read(
        mut response: Response,
        deadline: Instant,
        late: TransportError,
    ) -> Result<Self, TransportError> {
        let status = response.status().as_u16();
        if (300..400).contains(&status) {
            return Err(TransportError::Redirected(status));
        }
        if status != 200 {
            return Err(TransportError::Status(status));
        }
        let headers = response.headers();
        if is_coded(headers) {
            return Err(TransportError::Encoded);
        }
        if MediaType::of(headers) == MediaType::Html {
            return Err(TransportError::MediaType(MediaType::Html));
        }
        let max_age = max_age(headers);
        let mut bytes = Vec::new();
        let reading = outgoing::read_into(&mut response, LIMIT, &mut bytes);
        match tokio::time::timeout_at(deadline, reading).await {
            Ok(Ok(())) => Ok(Self { bytes, max_age }),
            Ok(Err(error @ BodyError::TooLong(_))) => {
                Err(TransportError::TooLong(error.to_string()))
            }
            Ok(Err(BodyError::Broken(text))) => Err(TransportError::Broken(text)),
            Err(_) => Err(late),
        }
    }
}

/// `max-age`; zero where it says that nothing may be kept.
fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let directives: Vec<String> = texts
        .flat_map(|text| text.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives
        .iter()
        .any(|it| it == "no-store" || it == "no-cache")
    {
        return Some(Duration::ZERO);
    }
    let seconds = directives
        .iter()
        .find_map(|it| it.strip_prefix("max-age="))?;
    let seconds = seconds.trim_matches('"').parse().ok()?;
    Some(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use oauth2::http::HeaderValue;

    use super::*;

    #[test]
    fn the_age_is_read_as_far_as_it_is_said() {
        let seconds = |number| Some(Duration::from_secs(number));
        for (text, expected) in [
            ("max-age=600", seconds(600)),
            ("public, Max-Age=\"60\" , immutable", seconds(60)),
            ("no-store, max-age=600", seconds(0)),
            ("no-cache", seconds(0)),
            ("max-age=-1", None),
            ("max-age=99999999999999999999", None),
            ("public", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(text))]);
            assert_eq!(max_age(&headers), expected, "{text}");
        }
    }
}
