//! The scripts, and one call of one of them.

use std::sync::LazyLock;

use jiff::Timestamp;
use redis::Script;

use super::record::write_data_request;
use crate::domain::event::Notice;
use crate::domain::job::NewJob;
use crate::domain::member::ConnectionStatus;
use crate::domain::secret::{Digest, ORIGIN_TEXT};
use crate::domain::window::Binding;

/// What stands in front of every script: the domain's table of legal transitions, as ` from>to from>to … `
/// for `become` in `lib.lua`, the statuses that await a job, and how much of a fingerprint is its origin.
static LEGAL: LazyLock<String> = LazyLock::new(|| {
    let pairs: String = ConnectionStatus::ALL
        .iter()
        .flat_map(|from| from.next().iter().map(move |to| (from, to)))
        .map(|(from, to)| format!("{}>{} ", from.id(), to.id()))
        .collect();
    let waiting: String = ConnectionStatus::ALL
        .iter()
        .filter(|status| status.awaits_a_job())
        .map(|status| format!("{} ", status.id()))
        .collect();
    let failed = ConnectionStatus::Failed.id();
    format!(
        "local LEGAL, WAITING, FAILED, ORIGIN = ' {pairs}', ' {waiting}', '{failed}', {ORIGIN_TEXT}\n"
    )
});

/// A script, put together from the legal transitions, the shared part and its own.
macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = $file:literal;)*) => {
        $(
            $(#[$doc])*
            pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
                let code = concat!(include_str!("lib.lua"), "\n", include_str!($file));
                Script::new(&format!("{}{code}", *LEGAL))
            });
        )*

        /// Every script, for loading them all at once.
        pub(super) fn all() -> Vec<&'static Script> {
            vec![$(&*$name),*]
        }
    };
}

scripts! {
    PROBE = "probe.lua";
    RESERVE = "reserve.lua";
    RELEASE = "release.lua";
    UNLIST = "unlist.lua";
    FORGET_USER = "forget_user.lua";
    API_KEYS = "api_keys.lua";
    IDEMPOTENT = "idempotent.lua";
    CREATE_USER = "create_user.lua";
    UPDATE_USER = "update_user.lua";
    DELETE_USER = "delete_user.lua";
    SESSIONS = "sessions.lua";
    CREATE_MEMBER = "create_member.lua";
    UPDATE_MEMBER = "update_member.lua";
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
    ORDER_JOB = "order_job.lua";
    ANSWER_CHALLENGES = "answer_challenges.lua";
    RESERVE_JOBS = "reserve_jobs.lua";
    POSTPONE_JOB = "postpone_job.lua";
    LEASE = "lease.lua";
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

    /// A status, or that there is none to become.
    pub(super) fn status(self, status: Option<ConnectionStatus>) -> Self {
        self.text(status.map_or(String::new(), |status| status.id().to_string()))
    }

    /// Digests, led by how many there are.
    pub(super) fn digests(self, digests: &[Digest]) -> Self {
        self.list(digests.iter().map(|digest| digest.to_text()))
    }

    /// A job to queue: its name and what is asked for, if anything in particular; both empty when
    /// there is none.
    pub(super) fn job(self, job: Option<&NewJob>) -> Self {
        let request = job.and_then(|job| write_data_request(&job.data_request));
        self.text(job.map_or(String::new(), |job| job.guid.compact()))
            .text(request.unwrap_or_default())
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

    /// A browser's bindings: the attempt's part of the cookie's name and the digest, with a space
    /// between them. Neither can hold one.
    pub(super) fn browser(self, browser: &[Binding]) -> Self {
        let written: Vec<String> = browser
            .iter()
            .map(|binding| {
                format!(
                    "{}{}",
                    binding.attempt.cookie_part(),
                    binding.digest.to_text()
                )
            })
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
