//! `[help]` of an institution file: what people are told before and while they sign in.

use serde::Deserialize;

use crate::config::address::HttpsUrl;
use crate::config::reading::Reading;
use crate::domain::institution::{Help, ToShare};

/// The longest text, in characters.
const LONGEST: usize = 500;

/// The most steps.
const MOST_STEPS: usize = 10;

/// `[help]`
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RawHelp {
    instructional_text: Option<String>,
    instructional_text_steps: Vec<String>,
    oauth_predirect_instructions: Vec<ToShare>,
    forgot_password_url: Option<HttpsUrl>,
    forgot_username_url: Option<HttpsUrl>,
    trouble_signing_in_url: Option<HttpsUrl>,
}

impl RawHelp {
    /// Checks the texts.
    pub fn build(self, reading: &Reading<'_>) -> Help {
        if let Some(text) = &self.instructional_text {
            check(reading, "help.instructional_text", text);
        }
        if self.instructional_text_steps.len() > MOST_STEPS {
            let problem = format!("has more than {MOST_STEPS} steps; join some of them");
            reading.wrong("help.instructional_text_steps", problem);
        }
        for (i, step) in self.instructional_text_steps.iter().enumerate() {
            check(
                reading,
                &format!("help.instructional_text_steps[{i}]"),
                step,
            );
        }
        Help {
            text: self.instructional_text,
            steps: self.instructional_text_steps,
            to_share: self.oauth_predirect_instructions,
            forgot_password: self.forgot_password_url.map(|url| url.0),
            forgot_username: self.forgot_username_url.map(|url| url.0),
            trouble_signing_in: self.trouble_signing_in_url.map(|url| url.0),
        }
    }
}

fn check(reading: &Reading<'_>, key: &str, text: &str) {
    let is_sound = !text.trim().is_empty()
        && text.chars().count() <= LONGEST
        && !text.chars().any(char::is_control);
    if !is_sound {
        let problem =
            format!("is not a text for people; write 1 to {LONGEST} characters on one line");
        reading.wrong(key, problem);
    }
}
