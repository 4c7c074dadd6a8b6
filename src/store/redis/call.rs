//! The scripts, and one call of one of them.

use std::sync::LazyLock;

use jiff::Timestamp;
use redis::Script;

use crate::domain::event::Notice;
use crate::domain::secret::Digest;
use crate::domain::window::Binding;

/// A script, compiled from the shared part and its own.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                Script::new(concat!(include_str!("lib.lua"), "\n", include_str!($file)))
            });
        )*

        /// Every script, for loading them all at once.
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),*]
        }
    };
}

scripts! {
    RESERVE = "reserve.lua";
    RELEASE = "release.lua";
    API_KEYS = "api_keys.lua";
    CREATE_USER = "create_user.lua";
    SESSIONS = "sessions.lua";
    CREATE_MEMBER = "create_member.lua";
    MEMBERS = "members.lua";
    DELETE_MEMBER = "delete_member.lua";
    MINT = "mint.lua";
    OPEN = "open.lua";
    CLAIM = "claim.lua";
    HOLD_ANSWER = "hold_answer.lua";
    ATTEMPT = "attempt.lua";
    COMMIT = "commit.lua";
    FAIL = "fail.lua";
    RETRY = "retry.lua";
    WINDOW = "window.lua";
    WINDOWS = "windows.lua";
    OVERDUE = "overdue.lua";
    RESERVE_JOBS = "reserve_jobs.lua";
    POSTPONE_JOB = "postpone_job.lua";
    LEASE_GRANT = "lease_grant.lua";
    RECORD_REPORT = "record_report.lua";
    RESERVE_EVENTS = "reserve_events.lua";
    SETTLE_EVENT = "settle_event.lua";
}

/// One call: a script, the base of its keys, and its arguments in the order the script reads them.
pub(super) struct Call {
    script: &'static Script,
    base: String,
    arguments: Vec<Vec<u8>>,
}

impl Call {
    /// A call of `script` on the keys of `base`.
    pub(super) fn new(script: &'static Script, base: String) -> Self {
        Self {
            script,
            base,
            arguments: Vec::with_capacity(16),
        }
    }

    /// A text; the empty one stands for "none".
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.arguments.push(text.into().into_bytes());
        self
    }

    /// A time, in milliseconds.
    pub(super) fn time(self, time: Timestamp) -> Self {
        self.text(time.as_millisecond().to_string())
    }

    /// A number.
    pub(super) fn number(self, number: impl Into<u64>) -> Self {
        self.text(number.into().to_string())
    }

    /// Bytes as they are.
    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.arguments.push(bytes.to_vec());
        self
    }

    /// A digest.
    pub(super) fn digest(self, digest: &Digest) -> Self {
        self.text(digest.to_text())
    }

    /// Texts, led by how many there are.
    pub(super) fn list(self, items: impl IntoIterator<Item = String>) -> Self {
        let items: Vec<Vec<u8>> = items.into_iter().map(String::into_bytes).collect();
        let mut call = self.text(items.len().to_string());
        call.arguments.extend(items);
        call
    }

    /// Fields and their values.
    pub(super) fn fields(self, fields: Vec<(&'static str, String)>) -> Self {
        self.list(
            fields
                .into_iter()
                .flat_map(|(name, value)| [name.to_owned(), value]),
        )
    }

    /// Events to keep, as `lib.lua` reads them.
    pub(super) fn notices<'a>(self, notices: impl IntoIterator<Item = &'a Notice>) -> Self {
        let written: Vec<String> = notices
            .into_iter()
            .map(|notice| format!("{}:{}", notice.guid.compact(), notice.kind.name()))
            .collect();
        self.text(written.join(" "))
    }

    /// A browser's bindings. What cannot be an attempt's part is left out, so that what a browser
    /// sends cannot imitate the separator.
    pub(super) fn browser(self, browser: &[Binding]) -> Self {
        let is_part = |text: &str| {
            text.len() == 12
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        let written: Vec<String> = browser
            .iter()
            .filter(|binding| is_part(&binding.attempt))
            .map(|binding| format!("{}{}", binding.attempt, binding.digest.to_text()))
            .collect();
        self.text(written.join(" "))
    }

    /// The script that is called.
    pub(super) fn script(&self) -> &'static Script {
        self.script
    }

    /// The command that calls it by its hash.
    pub(super) fn command(&self) -> redis::Cmd {
        let mut command = redis::cmd("EVALSHA");
        command.arg(self.script.get_hash()).arg(1).arg(&self.base);
        for argument in &self.arguments {
            command.arg(argument.as_slice());
        }
        command
    }
}
