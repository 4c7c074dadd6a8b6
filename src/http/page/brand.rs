//! The two parties on a page: the app that asked for the connection, and the institution.

use thiserror::Error;
use url::Url;

use super::assets::integrity;

/// The two parties. If one is not known for certain it is absent, and the texts say "your bank" or "the
/// app you came from" instead.
#[derive(Clone, Debug, Default)]
pub struct Parties {
    /// The app that asked for the connection.
    pub app: Option<AppBrand>,
    /// The institution to connect.
    pub institution: Option<InstitutionBrand>,
}

/// How a client wants to be shown.
#[derive(Clone, Debug)]
pub struct AppBrand {
    /// Display name; up to 60 characters look well, longer ones still wrap.
    pub name: String,
    /// Path of the logo on our own origin; the content policy loads images from nowhere else.
    pub logo: Option<String>,
    /// Colour of the primary button; absent for ours.
    pub accent: Option<Accent>,
    /// Where people get help.
    pub support: Option<SupportLink>,
    /// Its website; the way back if a flow has none of its own.
    pub home: Option<String>,
}

/// How an institution is shown.
#[derive(Clone, Debug)]
pub struct InstitutionBrand {
    /// Display name; up to 60 characters look well, longer ones still wrap.
    pub name: String,
    /// Path of the logo on our own origin.
    pub logo: Option<String>,
    /// Its public website, `https:` or `http:`; where people are sent when it needs something
    /// from them.
    pub url: Option<String>,
}

/// A brand colour on which white text is readable.
///
/// Parsed from `#rrggbb`; the contrast with white is at least 4.5 to 1, which is what WCAG 2.2
/// (1.4.3) asks of text of ordinary size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accent {
    style: String,
    hash: String,
}

/// Why a text is not an [`Accent`].
#[derive(Debug, Error, PartialEq)]
pub enum AccentError {
    /// Not a `#` with six hexadecimal digits.
    #[error("an accent colour is written #rrggbb, with six hexadecimal digits")]
    Syntax,
    /// Too light for white text.
    #[error(
        "white text on this accent colour has a contrast of {0:.1} to 1; choose a darker colour, with 4.5 or more"
    )]
    Contrast(f64),
}

impl Accent {
    /// Reads `#rrggbb`, in either case.
    ///
    /// # Errors
    ///
    /// [`AccentError`] when it is not a colour in that notation, or one too light for white text.
    pub fn parse(text: &str) -> Result<Self, AccentError> {
        let digits = text.strip_prefix('#').ok_or(AccentError::Syntax)?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(AccentError::Syntax);
        }
        let rgb = u32::from_str_radix(digits, 16).map_err(|_| AccentError::Syntax)?;
        let contrast = contrast_with_white(rgb);
        if contrast < 4.5 {
            return Err(AccentError::Contrast(contrast));
        }
        let style = format!(":root{{--accent:#{rgb:06x}}}");
        let hash = integrity(&style);
        Ok(Self { style, hash })
    }

    /// The style sheet that puts the colour on a page.
    pub fn style(&self) -> &str {
        &self.style
    }

    /// The source expression that lets a content policy accept [`Accent::style`].
    pub fn hash(&self) -> &str {
        &self.hash
    }
}

/// Contrast ratio with white, 1 to 21, by WCAG 2.2's definition of relative luminance.
fn contrast_with_white(rgb: u32) -> f64 {
    let channel = |shift: u32| {
        let value = f64::from((rgb >> shift) & 0xff) / 255.0;
        if value <= 0.04045 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    let luminance = 0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0);
    1.05 / (luminance + 0.05)
}

/// Where people get help from the app: a `mailto:` or `https:` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupportLink(String);

/// Why a text is not a [`SupportLink`].
#[derive(Debug, Error, PartialEq, Eq)]
#[error("a support address is a mailto: or https: link")]
pub struct SupportLinkError;

impl SupportLink {
    /// Reads a support address.
    ///
    /// # Errors
    ///
    /// [`SupportLinkError`] when it is not an absolute `mailto:` or `https:` address.
    pub fn parse(text: &str) -> Result<Self, SupportLinkError> {
        let url = Url::parse(text).map_err(|_| SupportLinkError)?;
        match url.scheme() {
            "mailto" | "https" => Ok(Self(url.into())),
            _ => Err(SupportLinkError),
        }
    }

    /// The address, ready for a link.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accent_is_six_hexadecimal_digits() {
        assert_eq!(
            Accent::parse("#1C4FB6").unwrap().style(),
            ":root{--accent:#1c4fb6}"
        );
        for wrong in [
            "",
            "#",
            "1c4fb6",
            "#fff",
            "#1c4fb6ff",
            "#+c4fb6",
            "#1c4fé",
            "red",
            "#000}*{",
        ] {
            assert_eq!(Accent::parse(wrong), Err(AccentError::Syntax), "{wrong:?}");
        }
    }

    #[test]
    fn an_accent_carries_white_text() {
        // #767676 is the lightest grey that passes, #777777 the first that does not.
        assert!(Accent::parse("#767676").is_ok());
        let error = Accent::parse("#777777").unwrap_err();
        assert!(error.to_string().contains("4.5 to 1"), "{error}");
        assert!(matches!(
            Accent::parse("#ffcc00"),
            Err(AccentError::Contrast(ratio)) if (1.4..1.6).contains(&ratio)
        ));
    }

    #[test]
    fn support_is_mail_or_a_safe_page() {
        assert!(SupportLink::parse("mailto:help@budget.example").is_ok());
        assert!(SupportLink::parse("https://budget.example/help").is_ok());
        for wrong in [
            "javascript:alert(1)",
            "JAVASCRIPT:alert(1)",
            "http://budget.example",
            "help@budget.example",
            "//budget.example",
            "data:text/html,x",
        ] {
            assert_eq!(SupportLink::parse(wrong), Err(SupportLinkError), "{wrong}");
        }
    }
}
