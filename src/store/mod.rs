//! The store: everything that is kept longer than a request.
//!
//! The methods of [`Store`] are the domain's atomic steps and reads, never generic get and set. A change,
//! and the events and jobs it causes, are one step: all of it is kept or none. What a step decides is written
//! in [`steps`](crate::steps), once, with its rules at the head of its file; a backend reads what the step
//! wants and writes what it changes.
//!
//! ```text
//! mod.rs, windows, members, jobs, duties, users,  the steps, by name
//! names, refreshes, consents, institutions,
//! envelopes, time, seal_keys
//! driver                                          applies a step once, and sends it again if the reply was lost
//! plan, encoding                                  what is written for a change, in which form
//! queued                                          tells the worker where a step queued something
//! sqlite | redis                                  read, compare, write
//! ```
//!
//! Secrets come as digests or sealed; the store never sees one in clear. Time is an argument: `now` is the
//! caller's clock, in whole milliseconds.

mod consents;
mod driver;
mod duties;
mod encoding;
mod envelopes;
mod events;
mod institutions;
mod jobs;
mod members;
mod names;
mod outcome;
mod plan;
mod queued;
pub mod redis;
mod refreshes;
mod seal_keys;
mod sealed_elsewhere;
pub mod sqlite;
mod time;
mod users;
mod windows;

pub use driver::Store;
pub use events::EventQuery;
pub use outcome::{
    Ask, Examined, Found, Home, Queued, Queues, Reserved, Result, Retention, Spot, StoreError,
};
pub use queued::QueuedWork;
pub use seal_keys::check_seal_keys;

pub use crate::steps::record::SOFT_DELETED;
pub use crate::steps::response::{HELD_RESPONSES, SETTLING};
pub use crate::steps::*;

/// The name of every step and read, as metrics have it.
pub const STEPS: &[&str] = &[
    "create_user",
    "user",
    "user_by_id",
    "users",
    "users_by_email",
    "update_user",
    "delete_user",
    "add_api_key",
    "api_key",
    "api_keys",
    "retire_api_key",
    "put_api_token",
    "begin_session",
    "touch_session",
    "end_sessions",
    "begin_idempotent",
    "renew_idempotent",
    "finish_idempotent",
    "release_idempotent",
    "create_member",
    "member",
    "member_by_external_guid",
    "deleted_member",
    "update_member",
    "members",
    "members_page",
    "owner_of_member",
    "delete_member",
    "arrange_background",
    "mint_window",
    "open_window",
    "keep_obtained",
    "claim_callback",
    "hold_response",
    "held_response",
    "attempt",
    "hold_tokens",
    "confirm",
    "commit_connected",
    "fail_window",
    "fail_window_persistently",
    "report",
    "retry_window",
    "windows",
    "window",
    "owner_of_window",
    "overdue_windows",
    "purge",
    "look_for_due",
    "spots_due",
    "order_job",
    "answer_challenges",
    "job",
    "lease",
    "record_report",
    "begin_refresh",
    "settle_refresh",
    "impair_other_login",
    "ask_brake",
    "braked",
    "count_refusal",
    "release_brake",
    "restore",
    "owe_revocation",
    "push_again",
    "freeze",
    "rebind",
    "thaw",
    "access",
    "reserve_duties",
    "settle_duty",
    "events",
    "event",
    "replay_event",
    "queues",
    "set_aside_keys",
    "probe",
    "probe_everywhere",
    "begin_look",
    "tell_shown",
    "watched",
    "maintenances",
    "set_maintenance",
    "know_seal_keys",
    "seal_keys",
    "tell_time",
    "time",
    "tell_consent",
    "consents",
    "each_sealed",
    "sealed_record",
    "reseal",
    "sealed_elsewhere",
];

#[cfg(test)]
mod tests {
    #[test]
    fn every_step_is_measured_under_a_name_that_is_listed() {
        let files = [
            include_str!("users.rs"),
            include_str!("members.rs"),
            include_str!("windows.rs"),
            include_str!("jobs.rs"),
            include_str!("duties.rs"),
            include_str!("events.rs"),
            include_str!("refreshes.rs"),
            include_str!("institutions.rs"),
            include_str!("seal_keys.rs"),
            include_str!("time.rs"),
            include_str!("consents.rs"),
            include_str!("envelopes.rs"),
        ];
        let mut names: Vec<&str> = files
            .iter()
            .flat_map(|code| code.split("self.timed(\"").skip(1))
            .filter_map(|call| call.split('"').next())
            .collect();
        let mut steps = super::STEPS.to_vec();
        names.sort_unstable();
        steps.sort_unstable();
        assert_eq!(names, steps);
    }
}
