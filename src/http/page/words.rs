//! The texts of one page: a language together with the names that go into it.

use std::borrow::Cow;

use fluent_bundle::FluentArgs;

use super::brand::Parties;
use super::locale::Locale;

/// The language of a page and its names, prepared for text and for attributes.
pub(super) struct Words<'a> {
    locale: &'a Locale,
    visible: FluentArgs<'a>,
    plain: FluentArgs<'a>,
}

impl<'a> Words<'a> {
    pub fn new(locale: &'a Locale, parties: &'a Parties) -> Self {
        let app = parties.app.as_ref().map(|app| tidy(&app.name));
        let institution = parties.institution.as_ref().map(|bank| tidy(&bank.name));
        let (mut visible, mut plain) = (FluentArgs::new(), FluentArgs::new());
        for (name, key, has, generic) in [
            (app, "app", "has-app", "app-generic"),
            (
                institution,
                "institution",
                "has-institution",
                "institution-generic",
            ),
        ] {
            let known = name.is_some();
            let name = name.unwrap_or_else(|| locale.text(generic, &FluentArgs::new()));
            let isolated = if known {
                isolate(&name, locale.is_rtl())
            } else {
                Cow::Borrowed(&*name)
            };
            visible.set(key, isolated.into_owned());
            plain.set(key, name);
            for args in [&mut visible, &mut plain] {
                args.set(has, if known { "yes" } else { "no" });
            }
        }
        Self {
            locale,
            visible,
            plain,
        }
    }

    /// A text for people to read, with names isolated if their script runs in the other direction.
    pub fn text(&self, key: &str) -> String {
        self.locale.text(key, &self.visible)
    }

    /// A text for people to read, with a number of something.
    pub fn counted(&self, key: &str, count: u64) -> String {
        let mut args = FluentArgs::new();
        for (name, value) in self.visible.iter() {
            args.set(name.to_owned(), value.clone());
        }
        args.set("count", count);
        self.locale.text(key, &args)
    }

    /// A text for titles and attributes, without invisible marks.
    pub fn plain(&self, key: &str) -> String {
        self.locale.text(key, &self.plain)
    }

    /// What the browser shows on the tab: the heading, and the app when it is known.
    pub fn title(&self, heading_key: &str, name_app: bool) -> String {
        let heading = self.plain(heading_key);
        if !name_app {
            return heading;
        }
        let mut args = FluentArgs::new();
        args.set("heading", heading);
        if let Some(app) = self.plain.get("app") {
            args.set("app", app.clone());
        }
        self.locale.text("title", &args)
    }
}

/// A name without control characters and without bidirectional marks, which could change what a page
/// seems to say.
pub(super) fn tidy(name: &str) -> String {
    let visible = name.chars().filter(|c| {
        !c.is_control()
            && !matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    visible.collect::<String>().trim().to_owned()
}

/// The character that stands for a name where there is no logo.
pub(super) fn initial(name: &str) -> String {
    let letter = name.chars().find(|c| c.is_alphanumeric());
    letter.map_or_else(String::new, |c| c.to_uppercase().collect())
}

/// Sets a name apart with Unicode isolates (UAX #9) when its script may run against the page's.
fn isolate(name: &str, page_is_rtl: bool) -> Cow<'_, str> {
    if page_is_rtl || name.chars().any(is_rtl) {
        Cow::Owned(format!("\u{2068}{name}\u{2069}"))
    } else {
        Cow::Borrowed(name)
    }
}

/// Whether a character belongs to the blocks of right-to-left scripts.
fn is_rtl(c: char) -> bool {
    matches!(c,
        '\u{0590}'..='\u{08ff}' | '\u{fb1d}'..='\u{fdff}' | '\u{fe70}'..='\u{fefc}'
        | '\u{10800}'..='\u{10fff}' | '\u{1e800}'..='\u{1efff}')
}

#[cfg(test)]
mod tests {
    use super::super::brand::{AppBrand, InstitutionBrand};
    use super::*;

    fn parties(app: &str, institution: &str) -> Parties {
        Parties {
            app: Some(AppBrand {
                name: app.into(),
                logo: None,
                accent: None,
                support: None,
                home: None,
            }),
            institution: Some(InstitutionBrand {
                name: institution.into(),
                logo: None,
                url: None,
            }),
        }
    }

    #[test]
    fn only_names_that_run_the_other_way_are_set_apart() {
        let english = &Locale::all()[0];
        let parties = parties("Budgetly", "בנק הפועלים");
        let words = Words::new(english, &parties);
        assert_eq!(words.text("action-return"), "Back to Budgetly");
        assert_eq!(
            words.text("action-institution"),
            "Open \u{2068}בנק הפועלים\u{2069}"
        );
        assert_eq!(words.plain("action-institution"), "Open בנק הפועלים");
        assert!(!words.title("connected-heading", true).contains('\u{2068}'));
    }

    #[test]
    fn names_that_are_not_known_read_well() {
        let words = Words::new(
            &Locale::all()[0],
            &Parties {
                app: None,
                institution: None,
            },
        );
        assert_eq!(words.text("connected-heading"), "Your bank is connected");
        assert_eq!(
            words.text("cancelled-heading"),
            "You did not connect your bank"
        );
        assert_eq!(words.text("action-return"), "Back to the app you came from");
    }

    #[test]
    fn names_cannot_turn_the_text_around() {
        assert_eq!(tidy(" Bank\u{202e}\n\u{2066}\u{0} of X "), "Bank of X");
        assert_eq!(initial("“élan”"), "É");
        assert_eq!(initial("…"), "");
    }
}
