//! The style and the script every page carries inside itself, and their hashes for the content
//! policy. Both are constants; whatever varies reaches them through attributes.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, prelude::BASE64_STANDARD};

/// A text that goes into a page inline, with the source expression that admits it.
pub(super) struct Inline {
    pub text: String,
    pub hash: String,
}

pub(super) static STYLE: LazyLock<Inline> = LazyLock::new(|| {
    Inline::new(concat!(
        include_str!("../../../templates/colours.css"),
        include_str!("../../../templates/page.css")
    ))
});

pub(super) static SCRIPT: LazyLock<Inline> =
    LazyLock::new(|| Inline::new(include_str!("../../../templates/page.js")));

impl Inline {
    fn new(source: &str) -> Self {
        let text = squeeze(source);
        let hash = integrity(&text);
        Self { text, hash }
    }
}

/// The hash source expression of a content policy (Content Security Policy Level 3, 2.3.1) for
/// one inline text, quotes included.
pub(super) fn integrity(text: &str) -> String {
    let hash = BASE64_STANDARD.encode(digest(&SHA256, text.as_bytes()));
    format!("'sha256-{hash}'")
}

/// Drops block comments and indentation. Our own sources hold neither comment marks nor line
/// breaks inside strings, which is what makes this safe.
fn squeeze(source: &str) -> String {
    let mut text = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_indentation_go() {
        assert_eq!(
            squeeze("/* a\n b */\nx {\n  y: z; /* c */\n}\n\n"),
            "x {\ny: z;\n}"
        );
        assert_eq!(squeeze("a /* never closed"), "a");
    }

    #[test]
    fn the_hash_is_the_one_browsers_compute() {
        // The example of the specification's section on hashes.
        assert_eq!(
            integrity("alert('Hello, world.');"),
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
        );
    }

    #[test]
    fn nothing_inline_can_end_its_element() {
        for text in [&STYLE.text, &SCRIPT.text] {
            assert!(!text.contains("</") && !text.contains("<!--") && !text.contains("/*"));
        }
    }
}
