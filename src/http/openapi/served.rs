//! A document that changes only with the program: made once, compressed once, and not sent to clients
//! that have it already (RFC 9110 sections 8.8.3 and 12.5.3).

use std::io::Write;

use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY,
};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::write::GzEncoder;

/// A document as it is sent.
pub struct Document {
    media_type: &'static str,
    plain: Vec<u8>,
    gzip: Vec<u8>,
    /// Of the plain form; the other one's has `-gzip` at its end.
    tag: String,
}

impl Document {
    /// The text, ready to be sent.
    pub fn new(media_type: &'static str, text: &str) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        let written = encoder.write_all(text.as_bytes());
        let gzip = written.and_then(|()| encoder.finish());
        let image = digest(&SHA256, text.as_bytes());
        Self {
            media_type,
            plain: text.as_bytes().to_vec(),
            gzip: gzip.expect("memory takes any text"),
            tag: BASE64_URL_SAFE_NO_PAD.encode(&image.as_ref()[..16]),
        }
    }

    /// The response to a request with these headers: 304 if the client has the document.
    pub fn respond(&self, headers: &HeaderMap) -> Response {
        let takes_gzip = takes_gzip(headers);
        let tag = match takes_gzip {
            true => format!("\"{}-gzip\"", self.tag),
            false => format!("\"{}\"", self.tag),
        };
        let shared = [
            (CACHE_CONTROL, "public, max-age=300"),
            (VARY, "accept-encoding"),
        ];
        let is_known = is_known(headers, &tag);
        let tag = [(ETAG, tag)];
        if is_known {
            return (StatusCode::NOT_MODIFIED, shared, tag).into_response();
        }
        let kind = [(CONTENT_TYPE, self.media_type)];
        match takes_gzip {
            true => {
                let encoding = [(CONTENT_ENCODING, "gzip")];
                (shared, tag, kind, encoding, self.gzip.clone()).into_response()
            }
            false => (shared, tag, kind, self.plain.clone()).into_response(),
        }
    }
}

fn parts<'a>(
    headers: &'a HeaderMap,
    name: &axum::http::HeaderName,
) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).into_iter();
    let lines = lines.filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    parts(headers, &ACCEPT_ENCODING).any(|part| {
        let mut words = part.split(';').map(str::trim);
        let is_gzip = words
            .next()
            .is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"));
        let weight = words.find_map(|word| word.strip_prefix("q="));
        let is_refused = weight.is_some_and(|weight| weight.parse() == Ok(0.0));
        is_gzip && !is_refused
    })
}

/// Compared as `If-None-Match` is: weakly.
fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    parts(headers, &IF_NONE_MATCH)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use axum::body::to_bytes;

    use super::*;

    async fn asked(sent: &[(&'static str, &str)]) -> (u16, HeaderMap, Vec<u8>) {
        let document = Document::new("text/plain", &"many words ".repeat(100));
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, value.parse().expect("a header"));
        }
        let response = document.respond(&headers);
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        (parts.status.as_u16(), parts.headers, body.to_vec())
    }

    #[tokio::test]
    async fn it_is_compressed_for_those_who_take_that() {
        for refused in ["", "br", "gzip;q=0", "identity, gzip; q=0.0"] {
            let (status, headers, body) = asked(&[("accept-encoding", refused)]).await;
            assert_eq!((status, body.len()), (200, 1100), "{refused}");
            assert!(!headers.contains_key("content-encoding"));
        }
        let (status, headers, body) = asked(&[("accept-encoding", "br, GZIP;q=0.5")]).await;
        assert_eq!(
            (status, &headers["content-encoding"]),
            (200, &"gzip".parse().unwrap())
        );
        assert_eq!(headers["vary"], "accept-encoding");
        let mut text = String::new();
        let read = flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text);
        assert!(
            read.is_ok() && text.starts_with("many words many"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn it_is_not_sent_to_those_who_have_it() {
        let (_, headers, _) = asked(&[]).await;
        let tag = headers["etag"].to_str().expect("a tag").to_owned();
        for known in [
            tag.clone(),
            format!("W/{tag}"),
            format!("\"x\", {tag}"),
            "*".to_owned(),
        ] {
            let (status, headers, body) = asked(&[("if-none-match", &known)]).await;
            assert_eq!((status, body.len()), (304, 0), "{known}");
            assert_eq!(headers["etag"], tag.as_str());
        }
        // The two forms are told apart.
        let both = [("if-none-match", tag.as_str()), ("accept-encoding", "gzip")];
        assert_eq!(asked(&both).await.0, 200);
        assert_eq!(asked(&[("if-none-match", "\"x\"")]).await.0, 200);
    }
}
