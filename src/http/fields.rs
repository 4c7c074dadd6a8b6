//! Fields of a request's head, read as bytes: each part by itself.
//!
//! Browsers, other sites on the same host, extensions and proxies all write into `Cookie`,
//! `Accept-Language` or `X-Forwarded-For`. If one of them writes something malformed, the parts of the
//! others still count. A part that cannot be read does not count as absent: it is *unknown*, and is never
//! a reason to accept a request (docs/SECURITY.md).

use axum::http::HeaderMap;

/// The parts of a field that many share, over all its lines and in their order, without the white
/// space around them. Empty ones are left out (RFC 9110 section 5.6.1).
pub fn parts<'a>(
    headers: &'a HeaderMap,
    name: &str,
    separator: u8,
) -> impl Iterator<Item = &'a [u8]> {
    lines(headers, name)
        .flat_map(move |line| line.split(move |byte| *byte == separator))
        .map(<[u8]>::trim_ascii)
        .filter(|part| !part.is_empty())
}

/// Whether the field is there, and every line of it is `expected`, in upper or lower case.
pub fn says(headers: &HeaderMap, name: &str, expected: &str) -> bool {
    headers.contains_key(name) && !contradicts(headers, name, expected)
}

/// Whether any line of the field is something else than `expected`. This is false for an absent field,
/// and true for one that cannot be read.
pub fn contradicts(headers: &HeaderMap, name: &str, expected: &str) -> bool {
    lines(headers, name).any(|line| !line.trim_ascii().eq_ignore_ascii_case(expected.as_bytes()))
}

/// Whether one of these words, given in lower case, is anywhere in the field, in upper or lower case.
pub fn mentions(headers: &HeaderMap, name: &str, words: &[&str]) -> bool {
    lines(headers, name).any(|line| {
        let line = line.to_ascii_lowercase();
        words.iter().any(|word| {
            line.windows(word.len())
                .any(|found| found == word.as_bytes())
        })
    })
}

/// Whether a line of the field has bytes that are no ASCII text.
pub fn is_unreadable(headers: &HeaderMap, name: &str) -> bool {
    lines(headers, name).any(|line| !line.is_ascii())
}

fn lines<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines.map(axum::http::HeaderValue::as_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn lines_of(lines: &[&[u8]]) -> HeaderMap {
        let name: axum::http::HeaderName = "x".parse().expect("a name");
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(&name, HeaderValue::from_bytes(line).expect("a value"));
        }
        headers
    }

    #[test]
    fn each_part_is_read_by_itself_over_all_lines() {
        let headers = lines_of(&["a=1; city=Zürich;;".as_bytes(), b" b=2", &[b'c', 0xff]]);
        let found: Vec<&[u8]> = parts(&headers, "x", b';').collect();
        let expected: [&[u8]; 4] = [b"a=1", "city=Zürich".as_bytes(), b"b=2", &[b'c', 0xff]];
        assert_eq!(found, expected);
        assert_eq!(parts(&headers, "y", b';').count(), 0);
    }

    #[test]
    fn what_cannot_be_read_is_not_absent() {
        let absent = lines_of(&[]);
        assert!(!says(&absent, "x", "navigate") && !contradicts(&absent, "x", "navigate"));
        for lines in [
            &[&b"\xff"[..]][..],
            &[b"navigate", b"\xff"],
            &[b"navigate\xff"],
        ] {
            let unknown = lines_of(lines);
            assert!(!says(&unknown, "x", "navigate"), "{lines:?}");
            assert!(contradicts(&unknown, "x", "navigate"), "{lines:?}");
            assert!(is_unreadable(&unknown, "x"), "{lines:?}");
        }
        let twice = lines_of(&[b"navigate", b" Navigate"]);
        assert!(says(&twice, "x", "navigate") && !is_unreadable(&twice, "x"));
    }

    #[test]
    fn a_word_is_found_beside_bytes_that_are_no_text() {
        let headers = lines_of(&[b"\xff\xfe", b"\xff SlackBot/1"]);
        assert!(mentions(&headers, "x", &["telegrambot", "slackbot"]));
        assert!(!mentions(&headers, "x", &["telegrambot"]));
    }
}
