//! What is kept of an attempt that failed, so that the institution's service desk can find its calls: sealed, for a few
//! days, under the support code that its person saw. Nothing reads it but an operator's command.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Gateway, seal_contexts};
use crate::domain::id::AttemptId;
use crate::domain::support_code::SupportCode;
use crate::domain::window::ErrorReason;
use crate::oauth::{Call, Calls};
use crate::seal::{SealError, Sealer};
use crate::store::{KeptReport, NewReport, Subject};

/// An attempt, and the calls that are made for it.
pub(super) struct Evidence {
    /// The attempt.
    pub(super) attempt: AttemptId,
    /// Its calls.
    pub(super) calls: Calls,
}

impl Evidence {
    /// Of an attempt for which nobody was called yet.
    pub(super) fn new(gateway: &Gateway, attempt: AttemptId) -> Self {
        let calls = Calls::new(gateway.now());
        Self { attempt, calls }
    }
}

/// What a report says. Holds no secret: what the institution said was cleaned when it was heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The reason that the person and the member service were told.
    pub reason: String,
    /// What the institution said, or what went wrong.
    pub detail: String,
    /// The calls, the oldest first.
    pub calls: Vec<Call>,
}

/// Why a report that is kept cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// It does not open.
    #[error("the report does not open: {0}")]
    Sealed(#[from] SealError),
    /// It is no report.
    #[error("the report cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
}

/// The report of an attempt that ends for that reason; `None`: none are kept.
pub(super) fn new(
    gateway: &Gateway,
    subject: &Subject,
    evidence: &Evidence,
    reason: ErrorReason,
    detail: &str,
) -> Option<NewReport> {
    let kept_for = gateway.settings.keep_reports;
    if kept_for == Duration::ZERO {
        return None;
    }
    let report = Report {
        reason: reason.name().to_owned(),
        detail: detail.to_owned(),
        calls: evidence.calls.told(),
    };
    let plain = serde_json::to_vec(&report).ok()?;
    let code = SupportCode::of(&evidence.attempt);
    let member = &subject.member;
    let context = code.to_string();
    let context = seal_contexts::report(&member.client, &context);
    let sealed = gateway
        .sealer
        .seal(gateway.random.as_ref(), &context, &plain);
    let now = gateway.now();
    Some(NewReport {
        code,
        report: KeptReport {
            client: member.client.clone(),
            institution: member.institution.clone(),
            sealed: sealed.into(),
            ended_at: now,
            expires_at: now + kept_for,
        },
    })
}

/// Opens the report of that support code.
///
/// # Errors
///
/// It is sealed under a key that is gone, or is another one's.
pub fn open(sealer: &Sealer, code: SupportCode, kept: &KeptReport) -> Result<Report, ReportError> {
    let code = code.to_string();
    let context = seal_contexts::report(&kept.client, &code);
    let plain = sealer.open(&context, &kept.sealed)?;
    Ok(serde_json::from_slice(&plain)?)
}
