//! The languages: which there are, which one a person gets, and its texts.
//!
//! To add one, put its file into `locales/` and name it in [`SOURCES`]; a test checks that it has the
//! same keys as English.

use std::borrow::Cow;
use std::sync::LazyLock;

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource};
use unic_langid::{CharacterDirection, LanguageIdentifier};

/// Every language tag with its texts. The first is the fallback for a text another one lacks.
pub(super) const SOURCES: &[(&str, &str)] = &[("en", include_str!("../../../locales/en.ftl"))];

/// How many ranges of a header are read; nobody reads more languages than this.
const MOST_RANGES: usize = 16;

static LOCALES: LazyLock<Vec<Locale>> = LazyLock::new(|| {
    SOURCES
        .iter()
        .map(|(tag, source)| Locale::new(tag, source))
        .collect()
});

/// One language, with its texts.
pub struct Locale {
    id: LanguageIdentifier,
    tag: String,
    texts: FluentBundle<FluentResource>,
}

impl Locale {
    fn new(tag: &str, source: &str) -> Self {
        let id: LanguageIdentifier = tag.parse().unwrap_or_default();
        let mut texts = FluentBundle::new_concurrent(vec![id.clone()]);
        // Names are isolated by `words`, where they need it: marks in titles and attributes would
        // be copied along, and a name in the page's own script needs none.
        texts.set_use_isolating(false);
        // A file with mistakes still serves its good messages; the tests allow no mistakes.
        let resource =
            FluentResource::try_new(source.to_owned()).unwrap_or_else(|(partial, _)| partial);
        texts.add_resource_overriding(resource);
        Self {
            id,
            tag: tag.to_owned(),
            texts,
        }
    }

    /// Every language there is, the fallback first.
    pub fn all() -> &'static [Locale] {
        &LOCALES
    }

    /// English, mirrored: every word reads from right to left. For looking at layouts.
    pub fn pseudo_rtl() -> Locale {
        let mut locale = Self::new("ar-XB", SOURCES[0].1);
        locale.texts.set_transform(Some(mirror));
        locale
    }

    /// The best language for one person: what the client asked for when it made the link
    /// (`ui_locales`, separated by spaces, best first: OpenID Connect Core 1.0, 3.1.2.1), else what
    /// the browser prefers (`Accept-Language`, RFC 9110, 12.5.4), else the client's default, else
    /// the fallback. Tags that cannot be read count for nothing.
    pub fn negotiate(
        ui_locales: Option<&str>,
        accept_language: Option<&str>,
        default: &str,
    ) -> &'static Locale {
        let asked = ui_locales.unwrap_or_default().split_ascii_whitespace();
        let preferred = accept_ranges(accept_language.unwrap_or_default());
        asked
            .take(MOST_RANGES)
            .chain(preferred)
            .chain([default])
            .find_map(Self::matching)
            .unwrap_or(&LOCALES[0])
    }

    /// The language itself when we have it, else another variety of it in the same script.
    fn matching(range: &str) -> Option<&'static Locale> {
        let wanted: LanguageIdentifier = range.parse().ok()?;
        let kin = |locale: &&Locale| {
            locale.id.language == wanted.language
                && (wanted.script.is_none()
                    || locale.id.script.is_none()
                    || locale.id.script == wanted.script)
        };
        LOCALES
            .iter()
            .find(|locale| locale.id == wanted)
            .or_else(|| LOCALES.iter().find(kin))
    }

    /// The language tag, for `lang`.
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// The direction of its script, for `dir`: `ltr` or `rtl`.
    pub fn dir(&self) -> &'static str {
        if self.is_rtl() { "rtl" } else { "ltr" }
    }

    /// Whether its script runs from right to left.
    pub fn is_rtl(&self) -> bool {
        self.id.character_direction() == CharacterDirection::RTL
    }

    /// One text, with its names filled in. A text that is missing here is taken from the fallback;
    /// a key nobody has comes back as it is, which a test would have caught.
    pub(super) fn text(&self, key: &str, args: &FluentArgs<'_>) -> String {
        [self, &LOCALES[0]]
            .into_iter()
            .find_map(|locale| {
                let pattern = locale.texts.get_message(key)?.value()?;
                let text = locale
                    .texts
                    .format_pattern(pattern, Some(args), &mut Vec::new());
                Some(text.into_owned())
            })
            .unwrap_or_else(|| key.to_owned())
    }
}

/// The ranges of an `Accept-Language` header, the preferred one first. Those with weight 0 are refused
/// and left out; so is `*`, for which the client's default is used.
fn accept_ranges(header: &str) -> Vec<&str> {
    let mut ranges: Vec<(&str, f32)> = header
        .split(',')
        .take(MOST_RANGES)
        .filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let tag = parts.next().filter(|tag| !tag.is_empty() && *tag != "*")?;
            let weight = parts
                .find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
                .map_or(Some(1.0), |weight| weight.parse().ok())?;
            (weight > 0.0).then_some((tag, weight))
        })
        .collect();
    ranges.sort_by(|a, b| b.1.total_cmp(&a.1));
    ranges.into_iter().map(|(tag, _)| tag).collect()
}

/// Turns every word around with the marks the bidirectional algorithm provides for it.
fn mirror(text: &str) -> Cow<'_, str> {
    let words: Vec<String> = text
        .split(' ')
        .map(|word| match word {
            "" => String::new(),
            word => format!("\u{200f}\u{202e}{word}\u{202c}\u{200f}"),
        })
        .collect();
    Cow::Owned(words.join(" "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use fluent_bundle::FluentResource;

    use super::*;

    /// The message keys of a file, which must be free of mistakes and of repeated keys.
    fn keys(tag: &str, source: &str) -> BTreeSet<String> {
        let resource = FluentResource::try_new(source.to_owned())
            .unwrap_or_else(|(_, errors)| panic!("{tag}: {errors:?}"));
        let mut bundle = FluentBundle::new_concurrent(vec![tag.parse().unwrap()]);
        bundle
            .add_resource(resource)
            .unwrap_or_else(|errors| panic!("{tag}: {errors:?}"));
        source
            .lines()
            .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()))
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, _)| key.to_owned())
            .inspect(|key| assert!(bundle.has_message(key), "{tag}: {key} cannot be read"))
            .collect()
    }

    #[test]
    fn every_language_has_every_text() {
        let english = keys(SOURCES[0].0, SOURCES[0].1);
        assert!(english.len() > 50);
        for (tag, source) in SOURCES {
            let theirs = keys(tag, source);
            let missing: Vec<_> = english.difference(&theirs).collect();
            let unknown: Vec<_> = theirs.difference(&english).collect();
            assert!(missing.is_empty(), "{tag} lacks {missing:?}");
            assert!(
                unknown.is_empty(),
                "{tag} has {unknown:?}, which English has not"
            );
        }
    }

    #[test]
    fn a_missing_text_is_noticed_and_falls_back() {
        let sparse = Locale::new("fr", "action-retry = Réessayer");
        let args = FluentArgs::new();
        assert_eq!(sparse.text("action-retry", &args), "Réessayer");
        assert_eq!(sparse.text("action-close", &args), "Close this window");
        let english = keys("en", SOURCES[0].1);
        let french = keys("fr", "action-retry = Réessayer");
        assert!(english.difference(&french).any(|key| key == "action-close"));
    }

    #[test]
    fn the_client_asks_before_the_browser_and_the_default() {
        let tag = |ui, accept, default| Locale::negotiate(ui, accept, default).tag();
        assert_eq!(tag(Some("en-GB"), Some("fr"), "de"), "en");
        assert_eq!(tag(Some("xx ?? en"), None, ""), "en");
        assert_eq!(tag(None, Some("fr;q=0.9, en;q=0.8, *;q=0.1"), "de"), "en");
        assert_eq!(tag(None, None, "en"), "en");
        assert_eq!(tag(None, None, "\u{0}"), "en");
    }

    #[test]
    fn weights_order_the_header() {
        assert_eq!(
            accept_ranges("da, en-GB;q=0.8, en;q=0.7"),
            ["da", "en-GB", "en"]
        );
        assert_eq!(
            accept_ranges("en;q=0.7,fr , de ; q=0.9"),
            ["fr", "de", "en"]
        );
        assert_eq!(accept_ranges("en;q=0,*;q=0.5,fr;q=x,,;q=1"), [""; 0]);
        assert_eq!(accept_ranges(&"en,".repeat(10_000)).len(), MOST_RANGES);
    }

    #[test]
    fn a_script_that_cannot_be_read_is_no_match() {
        assert!(
            Locale::matching("en-Cyrl-RS").is_some(),
            "English names no script"
        );
        assert!(Locale::matching("zh-Hant").is_none());
        assert!(Locale::matching("not a tag").is_none());
    }

    #[test]
    fn directions_follow_the_script() {
        assert_eq!(Locale::all()[0].dir(), "ltr");
        assert_eq!(Locale::pseudo_rtl().dir(), "rtl");
        assert_eq!(Locale::new("he", "").dir(), "rtl");
    }
}
