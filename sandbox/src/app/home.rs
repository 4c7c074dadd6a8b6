//! The app's one page: the member on show, the user's connections, and the banks to connect.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::App;
use super::follow::Followed;
use super::gateway::{CredentialField, GatewayError, Member};
use super::webhooks::Told;
use crate::pulls::{Account, Pull, Transaction};
use crate::settings::{Brand, Institution};
use crate::wire::{now, page};
use crate::words::{Status, cents, day, kind, money, money_of};

/// How many webhooks the page shows.
const TOLD: usize = 12;

#[derive(Template)]
#[template(path = "app_home.html")]
struct Home<'a> {
    gateway_origin: &'a str,
    bank_url: &'a str,
    brand: Brand,
    /// Those with pages of their own.
    institutions: Vec<&'a Institution>,
    /// Those without, and what to type.
    sign_ins: &'a [SignIn<'a>],
    /// The member that is looked at, when one is.
    followed: Option<&'a Followed>,
    connections: Vec<Connection<'a>>,
    told: &'a [Told],
    /// What went wrong, in words.
    trouble: Option<&'a str>,
    /// Whether the page has a tick box for confirming.
    confirms: bool,
    today: Date,
}

/// An institution without pages of its own.
struct SignIn<'a> {
    institution: &'a Institution,
    fields: Vec<CredentialField>,
}

/// A line in the list of connections.
struct Connection<'a> {
    guid: &'a str,
    name: &'a str,
    brand: Option<Brand>,
    status: Status,
    /// The published name of the status, also of one that has no words here.
    status_name: &'a str,
    /// What is on its accounts, once they were pulled.
    total: Option<String>,
}

/// The page, with what went wrong on top when something did.
pub(super) async fn show(
    app: &App,
    status: StatusCode,
    followed: Option<&Followed>,
    trouble: Option<&str>,
) -> Response {
    let members = app.gateway.members().await;
    let unlisted = members.as_ref().err().map(ToString::to_string);
    let members = members.unwrap_or_default();
    let mut sign_ins = Vec::new();
    for institution in app.institutions.iter().filter(|one| !one.supports_oauth()) {
        // Without them there is nothing to type; why is said already when the members are missing.
        if let Ok(fields) = app.gateway.credential_fields(&institution.code).await {
            sign_ins.push(SignIn {
                institution,
                fields,
            });
        }
    }
    let with_pages = app.institutions.iter().filter(|one| one.supports_oauth());
    let home = Home {
        gateway_origin: &app.gateway_origin,
        bank_url: &app.bank_url,
        brand: Brand::DEMO_BUDGET,
        institutions: with_pages.collect(),
        sign_ins: &sign_ins,
        followed,
        connections: members.iter().map(|one| connection(app, one)).collect(),
        told: &app.log.newest(TOLD),
        trouble: trouble.or(unlisted.as_deref()),
        confirms: app.confirms,
        today: now().to_zoned(TimeZone::UTC).date(),
    };
    page(status, &home)
}

/// The page that says why something could not be done.
pub(super) async fn trouble(app: &App, error: &GatewayError) -> Response {
    show(app, super::status_of(error), None, Some(&error.to_string())).await
}

fn connection<'a>(app: &App, member: &'a Member) -> Connection<'a> {
    let code = member.institution_code.as_deref();
    let status_name = member.connection_status.as_deref().unwrap_or_default();
    Connection {
        guid: &member.guid,
        name: member.name.as_deref().or(code).unwrap_or("Connection"),
        brand: app.brand_of(code),
        status: Status::of(status_name),
        status_name,
        total: app
            .pulls
            .of(&member.guid, now())
            .and_then(|pull| total(&pull)),
    }
}

/// The sum of all accounts, as people write it; none where they cannot be added up.
fn total(pull: &Pull) -> Option<String> {
    let currency = &pull.accounts.first()?.currency;
    let mut sum = 0_i64;
    for account in &pull.accounts {
        if account.currency != *currency {
            return None;
        }
        sum = sum.checked_add(cents(&account.balance)?)?;
    }
    Some(money_of(sum, currency))
}

impl Account {
    fn balance_text(&self) -> String {
        money(&self.balance, &self.currency)
    }

    fn kind_text(&self) -> String {
        kind(&self.kind)
    }
}

impl Transaction {
    /// The amount, with a sign where money comes in.
    fn amount_text(&self) -> String {
        let sign = if self.is_income() { "+" } else { "" };
        format!("{sign}{}", money(&self.amount, &self.currency))
    }

    fn day(&self, today: &Date) -> String {
        day(&self.date, *today)
    }

    fn is_income(&self) -> bool {
        cents(&self.amount).is_some_and(|cents| cents > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(balance: &str, currency: &str) -> Account {
        Account {
            id: String::new(),
            name: String::new(),
            kind: "CREDIT_CARD".to_owned(),
            last_four: String::new(),
            balance: balance.to_owned(),
            currency: currency.to_owned(),
        }
    }

    #[test]
    fn accounts_are_added_up_only_where_they_can_be() {
        let pull = |accounts: &[(&str, &str)]| Pull {
            accounts: accounts
                .iter()
                .map(|(balance, currency)| account(balance, currency))
                .collect(),
            transactions: Vec::new(),
        };
        let sum = pull(&[("1234.50", "USD"), ("-34.51", "USD")]);
        assert_eq!(total(&sum).as_deref(), Some("$1,199.99"));
        for accounts in [
            &[][..],
            &[("1.00", "USD"), ("1.00", "EUR")],
            &[("much", "USD")],
        ] {
            assert_eq!(total(&pull(accounts)), None);
        }
    }
}
