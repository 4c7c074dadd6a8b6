//! `guichet grants`, against the store of a gateway that runs: in from elsewhere, out, and from one to another.

use std::path::{Path, PathBuf};
use std::time::Duration;

use guichet::domain::id::MemberGuid;
use guichet::flow::access::{self, UserFilter};
use guichet::store::PageRequest;
use serde_json::{Value, json};

use super::guichet;
use crate::support::aggregation::{count, job, lease, nth_push, report};
use crate::support::behaviour::{Behaviour, Gate};
use crate::support::gateway::{
    BANK, Backend, CLIENT, PAPER_BANK, Setup, TestGateway, bank_client_id, eventually,
};
use crate::support::guichet::{Ran, Running, run, write};

const LIMIT: Duration = Duration::from_secs(20);
/// A little more than the access tokens of the bank are valid.
const TOKEN: Duration = Duration::from_secs(3601);
/// A little more than after how long tokens that nobody needs are refreshed.
const IDLE: Duration = Duration::from_secs(20 * 24 * 60 * 60 + 1);

crate::on_both_stores!(
    rows_are_imported_once_and_live_on,
    bad_rows_are_said_and_keep_no_good_one_out,
    rows_that_the_store_speaks_against_are_faulty,
    verifying_refreshes_each_row_once_and_says_which_are_refused,
    an_import_that_is_killed_goes_on_and_makes_none_twice,
    a_grant_moves_to_another_gateway_and_its_chain_lives_there,
    a_refresh_under_way_is_waited_for_and_the_newest_tokens_are_exported,
    without_yes_in_clear_nothing_is_exported,
    what_cannot_be_opened_is_said_and_not_frozen,
    a_frozen_grant_is_refreshed_again_after_a_thaw,
    imported_members_are_pulled_in_the_background_and_stay,
);

/// A row of the client at the bank.
fn row(user: &str, (access_token, refresh_token): &(String, String)) -> Value {
    json!({
        "client": CLIENT,
        "user": user,
        "institution": BANK,
        "token_set": {
            "access_token": access_token,
            "refresh_token": refresh_token,
            "token_type": "Bearer",
            "scope": "accounts transactions",
            "expires_at": "2040-01-01T00:00:00Z",
        },
    })
}

/// A row with tokens that the bank issued.
fn granted(gateway: &TestGateway, user: &str) -> Value {
    row(user, &gateway.bank.granted(&bank_client_id(CLIENT, BANK)))
}

fn file(gateway: &TestGateway, rows: &[Value]) -> PathBuf {
    let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let file = gateway.folder.path().join("grants.ndjson");
    std::fs::write(&file, text).expect("a file");
    file
}

async fn import(gateway: &TestGateway, file: &Path, options: &[&str]) -> Ran {
    let file = file.to_str().expect("a path");
    guichet(gateway, &[&["grants", "import", file], options].concat()).await
}

/// The members of every user of the client but the first, by the client's names for them.
async fn members(gateway: &TestGateway) -> Vec<(String, Value)> {
    let page = PageRequest {
        page: 1,
        per_page: 1000,
    };
    let client = CLIENT.parse().expect("a client");
    let users = access::users(&gateway.inside, &client, &UserFilter::default(), page).await;
    let mut found = Vec::new();
    for user in users.expect("read").items {
        let id = user.id.expect("an id");
        for member in gateway.inside.store.members(user.guid).await.expect("read") {
            found.push((id.clone(), serde_json::to_value(member).expect("JSON")));
        }
    }
    found
}

fn guid(member: &Value) -> MemberGuid {
    let guid = member["guid"].as_str().expect("a guid");
    guid.parse().expect("a guid")
}

/// The member as the client sees it.
async fn seen(gateway: &TestGateway, user: &str, member: MemberGuid) -> Value {
    let path = format!("/users/{user}/members/{member}");
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    response["member"].clone()
}

/// An aggregation is ordered, and pushed.
async fn ordered(gateway: &TestGateway, user: &str, member: MemberGuid) -> String {
    let before = gateway.aggregator.received().len();
    let path = format!("/users/{user}/members/{member}/aggregate");
    let (status, response) = gateway.platform("POST", &path, None).await;
    assert_eq!(status, 202, "{response}");
    job(&nth_push(gateway, before + 1).await)
}

/// The refresh tokens that the bank was asked with.
fn refreshes(gateway: &TestGateway) -> Vec<String> {
    let requests = gateway.bank.token_requests().into_iter();
    requests
        .filter_map(|it| it.field("refresh_token"))
        .collect()
}

/// Connects a member of the first user, and has its data pulled.
async fn connected(gateway: &TestGateway) -> MemberGuid {
    let before = gateway.aggregator.received().len();
    let (member, link) = gateway.member().await;
    let page = gateway.connect(&gateway.visitor(), &link).await;
    assert_eq!(page.name(), Some("connected"), "{}", page.body);
    let first = job(&nth_push(gateway, before + 1).await);
    assert_eq!(lease(gateway, &first).await.0, 200);
    let done = report(gateway, &first, json!({"status": "succeeded"})).await;
    assert_eq!(done, (200, "SUCCEEDED".to_owned()));
    member
}

/// Exports everything; the rows.
async fn exported(gateway: &TestGateway) -> (Ran, Vec<Value>) {
    let ran = guichet(gateway, &["grants", "export", "--yes-in-clear"]).await;
    let row = |line| serde_json::from_str(line).expect("JSON");
    let rows = ran.out.lines().map(row).collect();
    (ran, rows)
}

async fn rows_are_imported_once_and_live_on(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let rows = [granted(&gateway, "ada"), granted(&gateway, "user-1")];
    let file = file(&gateway, &rows);

    let looked = import(&gateway, &file, &[]).await;
    assert_eq!(looked.code, Some(0), "{looked:?}");
    let expected = "would be imported 2, already there 0, faulty 0\n";
    assert!(looked.out.starts_with(expected), "{looked:?}");
    assert!(members(&gateway).await.is_empty(), "nothing was changed");
    let (status, _) = gateway.platform("GET", "/users/ada", None).await;
    assert_eq!(status, 404, "no user either");

    let all_in = "imported 2, already there 0, refused 0, not verified 0, faulty 0\n";
    let ran = import(&gateway, &file, &["--yes"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), all_in), "{ran:?}");
    let found = members(&gateway).await;
    assert_eq!(found.len(), 2);
    let ada = &found.iter().find(|(user, _)| user == "ada").expect("ada").1;
    let member = seen(&gateway, "ada", guid(ada)).await;
    assert_eq!(member["connection_status"], "CONNECTED");
    assert_eq!(member["is_oauth"], true);
    let told = gateway
        .hooks
        .wait_for(|told| count(told, "created") == 2, LIMIT)
        .await;
    let created = told.iter().map(|it| it.json());
    let created = created.filter(|it| it["action"] == "created");
    let statuses: Vec<Value> = created
        .map(|it| it["member"]["connection_status"].clone())
        .collect();
    assert!(statuses.iter().all(|it| it == "CONNECTED"), "{statuses:?}");

    // Both are pulled, each with a new access token: those of the file are used up.
    let mut pulled = Vec::new();
    for nth in 1..=2 {
        let job = job(&nth_push(&gateway, nth).await);
        let (status, lent) = lease(&gateway, &job).await;
        assert_eq!(status, 200, "{lent}");
        let token = lent["access_token"].as_str().expect("a token").to_owned();
        assert!(gateway.bank.honours(&token));
        report(&gateway, &job, json!({"status": "succeeded"})).await;
        pulled.push(token);
    }
    assert_eq!(refreshes(&gateway).len(), 2);
    for row in &rows {
        let first = row["token_set"]["access_token"].as_str().expect("a token");
        assert!(!pulled.contains(&first.to_owned()));
    }
    // The chain goes on as any other.
    gateway.pass(TOKEN);
    let job = ordered(&gateway, "ada", guid(ada)).await;
    assert_eq!(lease(&gateway, &job).await.0, 200);

    let again = import(&gateway, &file, &["--yes"]).await;
    let there = "imported 0, already there 2, refused 0, not verified 0, faulty 0\n";
    assert_eq!(
        (again.code, again.out.as_str()),
        (Some(0), there),
        "{again:?}"
    );
    let looked = import(&gateway, &file, &[]).await;
    assert!(
        looked
            .out
            .starts_with("would be imported 0, already there 2,"),
        "{looked:?}"
    );
    assert_eq!(members(&gateway).await.len(), 2);

    // Without a word, and without a pull.
    let quiet = self::file(&gateway, &[granted(&gateway, "grace")]);
    let pushes = gateway.aggregator.received().len();
    let ran = import(
        &gateway,
        &quiet,
        &["--yes", "--skip-webhook", "--skip-aggregation"],
    )
    .await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let loud = self::file(&gateway, &[granted(&gateway, "mary")]);
    import(&gateway, &loud, &["--yes"]).await;
    nth_push(&gateway, pushes + 1).await;
    let told = gateway
        .hooks
        .wait_for(|told| count(told, "created") == 3, LIMIT)
        .await;
    assert!(
        told.iter()
            .all(|it| it.json()["member"]["user_id"] != "grace")
    );
    let found = members(&gateway).await;
    let grace = &found
        .iter()
        .find(|(user, _)| user == "grace")
        .expect("grace")
        .1;
    assert_eq!(grace["most_recent_job"], Value::Null);
}

async fn bad_rows_are_said_and_keep_no_good_one_out(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let good = granted(&gateway, "ada");
    let with = |at: &str, value: Value| {
        let mut row = granted(&gateway, "eve");
        *row.pointer_mut(at).expect("a field") = value;
        row
    };
    let secret = "secret-0123456789";
    let mut unknown = granted(&gateway, "eve");
    unknown["sort_code"] = json!(secret);
    let mut ended = with("/token_set/expires_at", json!("2020-01-01T00:00:00Z"));
    ended["token_set"]
        .as_object_mut()
        .expect("it")
        .remove("refresh_token");
    let mut consent = granted(&gateway, "eve");
    consent["consent_expires_at"] = json!("2020-01-01T00:00:00Z");
    let mut shared = granted(&gateway, "mallory");
    shared["token_set"] = good["token_set"].clone();
    let rows = [
        good.clone(),
        with("/client", json!("nobody")),
        with("/institution", json!("no_bank")),
        with("/institution", json!(PAPER_BANK)),
        with("/token_set/refresh_token", json!([secret])),
        unknown,
        ended,
        consent,
        good.clone(),
        shared,
    ];
    let file = file(&gateway, &rows);
    let mut text = std::fs::read_to_string(&file).expect("a file");
    text.push_str(&format!("\n{}\n", "x".repeat(300 * 1024)));
    text.push_str(&format!("{{\"client\": \"{secret}\n"));
    std::fs::write(&file, text).expect("a file");
    let said = [
        "line 2: client: nobody is not a client",
        "line 3: institution: no_bank is not an institution",
        "line 4: institution: client acme has no registration at paper_bank",
        "line 5: token_set.refresh_token: must be a token",
        "line 6: sort_code: is not known: remove it",
        "line 7: token_set.expires_at: has passed, and there is no refresh_token",
        "line 8: consent_expires_at: has passed",
        "line 9: is the same grant as line 1: remove one of them",
        "line 10: is the same grant as line 1: remove one of them",
        "line 12: is longer than 262144 bytes",
        "line 13: it is not JSON",
    ];
    for (options, counts) in [
        (&[][..], "would be imported 1, already there 0, faulty 11\n"),
        (
            &["--yes"],
            "imported 1, already there 0, refused 0, not verified 0, faulty 11\n",
        ),
    ] {
        let ran = import(&gateway, &file, options).await;
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.out.starts_with(counts), "{ran:?}");
        for said in said {
            assert!(ran.err.contains(said), "{said}: {ran:?}");
        }
        assert!(ran.err.contains("11 of 12 rows"), "{ran:?}");
        let tokens = rows
            .iter()
            .filter_map(|row| row["token_set"]["access_token"].as_str());
        for hidden in tokens.chain([secret]) {
            assert!(
                !ran.err.contains(hidden) && !ran.out.contains(hidden),
                "{ran:?}"
            );
        }
    }
    let found = members(&gateway).await;
    assert!(found.len() == 1 && found[0].0 == "ada", "{found:?}");

    let bad: Vec<Value> = (0..200).map(|_| json!({"client": CLIENT})).collect();
    let ran = import(&gateway, &self::file(&gateway, &bad), &[]).await;
    assert_eq!(ran.err.matches("\nline ").count() + 1, 50, "{ran:?}");
    assert!(
        ran.out.contains("faulty 200") && ran.err.contains("only counted"),
        "{ran:?}"
    );
    // The same from standard input.
    let script = format!(
        "'{}' grants import - --config '{}' < '{}'",
        env!("CARGO_BIN_EXE_guichet"),
        gateway.file().display(),
        file.display(),
    );
    let piped = tokio::task::spawn_blocking(move || {
        std::process::Command::new("sh")
            .args(["-c", &script])
            .output()
    });
    let piped = piped.await.expect("no panic").expect("sh starts");
    let said = String::from_utf8_lossy(&piped.stdout).into_owned();
    assert!(said.contains("faulty 200"), "{said}");
    let none = import(&gateway, &self::file(&gateway, &[]), &[]).await;
    assert!(
        none.code == Some(1) && none.err.contains("has no rows"),
        "{none:?}"
    );
}

#[test]
fn looking_makes_no_store() {
    let installation = super::Installation::new();
    let row = row("ada", &("an-access-token".into(), "a-refresh-token".into()));
    let folder = installation.folder.path();
    let file = write(folder, "grants.ndjson", &format!("{row}\n"));
    for command in [&["import", &file][..], &["list"], &["export"]] {
        let arguments = [&["grants"], command, &["--config", &installation.file]].concat();
        let ran = run(arguments);
        assert_eq!(ran.code, Some(4), "{ran:?}");
        assert!(ran.err.contains("is not there yet"), "{ran:?}");
        assert!(!folder.join("guichet.sqlite").exists());
    }
}

async fn rows_that_the_store_speaks_against_are_faulty(backend: Backend) {
    let setup = Setup {
        subject: Some(crate::support::gateway::Subject::Identify),
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    // Somebody connects here while the file is made.
    gateway.bank.signs_in("4711");
    let connected = connected(&gateway).await;
    let mut same_login = granted(&gateway, "user-1");
    same_login["subject"] = json!("4711");
    let mut of_another = granted(&gateway, "ada");
    of_another["subject"] = json!("4711");
    let path = format!("/users/{}", gateway.user);
    let file = file(&gateway, &[same_login, of_another.clone()]);
    let ran = import(&gateway, &file, &[]).await;
    let expected = format!("line 1: the user has member {connected} with this login");
    assert!(ran.err.contains(&expected), "{ran:?}");
    let ran = import(&gateway, &file, &["--yes", "--skip-aggregation"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.starts_with("imported 1,"), "{ran:?}");
    // A row that names who signed in is found again with other tokens.
    let mut newer = granted(&gateway, "ada");
    newer["subject"] = json!("4711");
    let ran = import(&gateway, &self::file(&gateway, &[newer]), &["--yes"]).await;
    assert!(
        ran.out.starts_with("imported 0, already there 1,"),
        "{ran:?}"
    );
    // What was deleted after the import does not come back.
    let found = members(&gateway).await;
    let ada = &found.iter().find(|(user, _)| user == "ada").expect("ada").1;
    let deleted = format!("/users/ada/members/{}", guid(ada));
    assert_eq!(gateway.platform("DELETE", &deleted, None).await.0, 204);
    let ran = import(&gateway, &self::file(&gateway, &[of_another]), &["--yes"]).await;
    assert!(ran.err.contains("was deleted after the import"), "{ran:?}");
    // Nothing new begins for a disabled user.
    let body = json!({"user": {"is_disabled": true}});
    assert_eq!(gateway.platform("PUT", &path, Some(body)).await.0, 200);
    let row = granted(&gateway, "user-1");
    let ran = import(&gateway, &self::file(&gateway, &[row]), &["--yes"]).await;
    assert!(ran.err.contains("line 1: the user is disabled"), "{ran:?}");
}

async fn verifying_refreshes_each_row_once_and_says_which_are_refused(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let revoked = row("eve", &("an-access-token".into(), "a-refresh-token".into()));
    let mut unrenewable = granted(&gateway, "grace");
    let set = unrenewable["token_set"].as_object_mut().expect("it");
    set.remove("refresh_token");
    let rows = [
        granted(&gateway, "ada"),
        granted(&gateway, "mary"),
        revoked,
        unrenewable,
    ];
    let file = file(&gateway, &rows);
    let ran = import(&gateway, &file, &["--yes", "--verify"]).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let counts = "imported 3, already there 0, refused 1, not verified 0, faulty 0\n";
    assert_eq!(ran.out, counts, "{ran:?}");
    assert!(ran.err.contains("line 3: MBR-"), "{ran:?}");
    assert!(ran.err.contains("IMPAIRED REVOKED"), "{ran:?}");
    assert!(
        ran.err
            .contains("has no refresh_token, so it was not verified"),
        "{ran:?}"
    );
    let mut asked = refreshes(&gateway);
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), 3, "each of the file's, once");
    let impaired = |(user, member): &(String, Value)| {
        let is_eves = user == "eve";
        assert_eq!(
            member["status"],
            if is_eves { 20 } else { 6 },
            "{user}: {member}"
        );
        is_eves
    };
    assert_eq!(
        members(&gateway)
            .await
            .iter()
            .filter(|it| impaired(it))
            .count(),
        1
    );

    // What was verified is not refreshed again for it.
    let before = refreshes(&gateway).len();
    let again = import(&gateway, &file, &["--yes", "--verify"]).await;
    let counts = "imported 0, already there 3, refused 1, not verified 0, faulty 0\n";
    assert_eq!(
        (again.code, again.out.as_str()),
        (Some(1), counts),
        "{again:?}"
    );
    assert_eq!(refreshes(&gateway).len(), before);

    // An institution that is away costs nobody the connection.
    gateway.bank.next_token(Behaviour::unavailable());
    let away = self::file(&gateway, &[granted(&gateway, "joan")]);
    let options = ["--yes", "--verify", "--skip-aggregation"];
    let ran = import(&gateway, &away, &options).await;
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains("not verified 1,"), "{ran:?}");
    assert!(ran.err.contains("could not be asked"), "{ran:?}");
    let found = members(&gateway).await;
    let joan = &found
        .iter()
        .find(|(user, _)| user == "joan")
        .expect("joan")
        .1;
    assert_eq!(joan["status"], 6, "{joan}");
}

async fn an_import_that_is_killed_goes_on_and_makes_none_twice(backend: Backend) {
    const ROWS: usize = 350;
    let gateway = TestGateway::start(backend).await;
    // Several rows of a user, and users that are there once.
    let rows: Vec<Value> = (0..ROWS)
        .map(|nth| {
            let user = format!("user-{}", if nth % 7 == 0 { 100 } else { 1000 + nth });
            row(&user, &(format!("access-{nth}"), format!("refresh-{nth}")))
        })
        .collect();
    let file = file(&gateway, &rows);
    let config = gateway.file();
    let arguments = [
        "grants",
        "import",
        file.to_str().expect("a path"),
        "--yes",
        "--skip-aggregation",
        "--skip-webhook",
        "--config",
        config.to_str().expect("a path"),
    ];
    // Killed in the middle, and again further on.
    for reached in [100, 200] {
        let ran = tokio::task::spawn_blocking({
            let arguments = arguments.map(str::to_owned);
            move || {
                let mut running = Running::start(arguments.iter().map(String::as_str));
                let expected = format!("{reached} of {ROWS}\n");
                while running.line() != expected {
                    assert!(running.runs(), "{}", running.err());
                }
                running.stop("KILL")
            }
        });
        let ran = ran.await.expect("no panic");
        assert_eq!(ran.code, None, "it was killed: {ran:?}");
        let count = members(&gateway).await.len();
        assert!((reached..ROWS).contains(&count), "{count}");
    }
    let before = members(&gateway).await.len();
    let ran = guichet(&gateway, &arguments[..6]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let counts = ran.out.lines().last().expect("counts");
    let number = |name: &str| -> usize {
        let rest = counts.split_once(name).expect("a count").1;
        rest.split(',')
            .next()
            .expect("a number")
            .trim()
            .parse()
            .expect("a number")
    };
    let [new, there] = ["imported ", "already there "].map(number);
    assert_eq!((new, there), (ROWS - before, before), "{counts}");
    // Each row has exactly one member, and each user is there once.
    let mut found = members(&gateway).await;
    assert_eq!(found.len(), ROWS);
    found.dedup_by(|(one, _), (other, _)| one == other);
    let users: Vec<String> = found.into_iter().map(|(user, _)| user).collect();
    let mut distinct = users.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((users.len(), distinct.len()), (301, 301));
}

async fn a_grant_moves_to_another_gateway_and_its_chain_lives_there(backend: Backend) {
    let old = TestGateway::start(backend).await;
    let end = "2100-01-01T00:00:00Z";
    let said = Behaviour::With("consent_expires_at", json!(end));
    old.bank.next_token(said);
    let there = connected(&old).await;
    let bank = old.bank.issuer();
    let setup = Setup {
        bank_origin: Some(bank),
        ..Setup::default()
    };
    let new = TestGateway::with(backend, setup).await;

    let (ran, rows) = exported(&old).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(
        ran.err
            .contains("exported and frozen 1, of which 0 in doubt"),
        "{ran:?}"
    );
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0]["consent_expires_at"], end);
    // Somebody connects at the old one after that: it is not frozen.
    connected(&old).await;
    let set = &rows[0]["token_set"];
    assert!(
        old.bank
            .honours(set["refresh_token"].as_str().expect("a token"))
    );
    assert_eq!(
        (&rows[0]["user"], &rows[0]["client"]),
        (&json!("user-1"), &json!(CLIENT))
    );
    let ran = import(&new, &file(&new, &rows), &["--yes", "--verify"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.starts_with("imported 1,"), "{ran:?}");
    let here = guid(&members(&new).await[0].1);
    let shown = seen(&new, "user-1", here).await;
    assert_eq!(shown["consent_expires_at"], "2100-01-01T00:00:00+00:00");

    // There it is pulled and refreshed, hour by hour.
    let first = job(&nth_push(&new, 1).await);
    assert_eq!(lease(&new, &first).await.0, 200);
    report(&new, &first, json!({"status": "succeeded"})).await;
    for gateway in [&old, &new] {
        gateway.pass(TOKEN);
    }
    let job = ordered(&new, "user-1", here).await;
    let (status, lent) = lease(&new, &job).await;
    assert_eq!(status, 200, "{lent}");
    let token = lent["access_token"].as_str().expect("a token").to_owned();
    assert!(old.bank.honours(&token));
    let asked = refreshes(&old).len();

    // Here it is not refreshed any more: not for a lease, and not when it is due, as the other one is.
    let frozen = ordered(&old, "user-1", there).await;
    let (status, problem) = lease(&old, &frozen).await;
    assert_eq!(status, 503, "{problem}");
    assert_eq!(problem["error"]["reason"], "token_not_renewed");
    assert_eq!(
        seen(&old, "user-1", there).await["connection_status"],
        "CONNECTED"
    );
    let listed = guichet(&old, &["grants", "list"]).await;
    let line = listed
        .out
        .lines()
        .find(|line| line.contains(&there.to_string()));
    let line = line.expect("the member");
    assert!(
        line.contains("user-1") && line.contains("frozen "),
        "{line}"
    );
    old.pass(IDLE);
    eventually(async || (refreshes(&old).len() > asked).then_some(())).await;
    let exported = set["refresh_token"].as_str().expect("a token");
    let used = refreshes(&old).into_iter().filter(|it| it == exported);
    assert_eq!(used.count(), 1, "by the new gateway alone");

    // Nor is it given back, when the old gateway is cleared: that would end it at the new one.
    let path = format!("/users/user-1/members/{there}");
    assert_eq!(old.platform("DELETE", &path, None).await.0, 204);
    let queues = old.inside.store.queues().await.expect("read");
    let kinds = queues.kinds();
    let owed = kinds.get(&guichet::domain::duty::DutyKind::Revoke);
    assert_eq!(owed.map_or(0, |it| it.length), 0);
    assert_eq!(old.bank.revoke_requests().len(), 0);
    assert!(old.bank.honours(&token));
}

async fn a_refresh_under_way_is_waited_for_and_the_newest_tokens_are_exported(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    gateway.pass(TOKEN);
    let job = ordered(&gateway, "user-1", member).await;
    let gate = Gate::closed();
    gateway.bank.next_token(Behaviour::Hold(gate.clone()));
    let before = gateway.bank.token_requests().len();
    let leasing = lease(&gateway, &job);
    let exporting = async {
        gateway
            .bank
            .wait_for_token_requests(before + 1, LIMIT)
            .await;
        let opening = async {
            eventually(async || {
                let listed = guichet(&gateway, &["grants", "list"]).await;
                listed.out.contains("frozen ").then_some(())
            })
            .await;
            gate.open();
        };
        tokio::join!(exported(&gateway), opening).0
    };
    let ((status, lent), (ran, rows)) = tokio::join!(leasing, exporting);
    assert_eq!(status, 200, "{lent}");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("of which 0 in doubt"), "{ran:?}");
    let set = &rows[0]["token_set"];
    assert_eq!(set["access_token"], lent["access_token"]);
    assert!(
        gateway
            .bank
            .honours(set["refresh_token"].as_str().expect("a token"))
    );
}

async fn without_yes_in_clear_nothing_is_exported(backend: Backend) {
    use std::os::unix::fs::PermissionsExt as _;
    let gateway = TestGateway::start(backend).await;
    connected(&gateway).await;
    let ran = guichet(&gateway, &["grants", "export"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{ran:?}");
    assert!(ran.err.contains("would freeze 1 grants"), "{ran:?}");
    assert!(ran.err.contains("--yes-in-clear"), "{ran:?}");
    let listed = guichet(&gateway, &["grants", "list"]).await;
    assert!(listed.out.contains("  live\n"), "{listed:?}");

    let output = gateway.folder.path().join("out.ndjson");
    let output = output.to_str().expect("a path");
    let all = ["grants", "export", "--yes-in-clear", "--output", output];
    let of_rival = guichet(
        &gateway,
        &["grants", "export", "--yes-in-clear", "--client", "rival"],
    )
    .await;
    assert_eq!(
        (of_rival.code, of_rival.out.as_str()),
        (Some(0), ""),
        "{of_rival:?}"
    );
    let ran = guichet(&gateway, &all).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{ran:?}");
    let mode = std::fs::metadata(output)
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let written = std::fs::read_to_string(output).expect("a file");
    assert_eq!(written.lines().count(), 1);
    let again = guichet(&gateway, &all).await;
    assert!(
        again.code == Some(1) && again.err.contains("name a new file"),
        "{again:?}"
    );
    assert_eq!(std::fs::read_to_string(output).expect("a file"), written);
    // Whoever lost the file makes it again.
    let (ran, rows) = exported(&gateway).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let kept: Value = serde_json::from_str(&written).expect("JSON");
    assert_eq!(rows, [kept]);
}

async fn what_cannot_be_opened_is_said_and_not_frozen(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    // The key that sealed it is not there any more.
    let text = std::fs::read_to_string(gateway.file()).expect("a file");
    let other = text.replace(
        "id = \"test\", key = \"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\"",
        "id = \"other\", key = \"YW5vdGhlciBrZXkgb2YgMzIgYnl0ZXMgaXMgaGVyZS4=\"",
    );
    assert_ne!(text, other);
    std::fs::write(gateway.file(), other).expect("a file");
    let (ran, rows) = exported(&gateway).await;
    assert_eq!((ran.code, rows.len()), (Some(1), 0), "{ran:?}");
    let said = format!("{member}: could not be opened: the seal key \"test\"");
    assert!(ran.err.contains(&said), "{ran:?}");
    assert!(ran.err.contains("1 could not be opened"), "{ran:?}");
    std::fs::write(gateway.file(), text).expect("a file");
    let listed = guichet(&gateway, &["grants", "list"]).await;
    assert!(listed.out.contains("  live\n"), "{listed:?}");

    // A user without an id of the client's cannot be found again elsewhere.
    let body = json!({"user": {"id": null}});
    let path = format!("/users/{}", gateway.user);
    assert_eq!(gateway.platform("PUT", &path, Some(body)).await.0, 200);
    let (ran, rows) = exported(&gateway).await;
    assert_eq!((ran.code, rows.len()), (Some(1), 0), "{ran:?}");
    assert!(ran.err.contains("has no id"), "{ran:?}");
    let listed = guichet(&gateway, &["grants", "list"]).await;
    assert!(listed.out.contains("  live\n"), "{listed:?}");
}

async fn a_frozen_grant_is_refreshed_again_after_a_thaw(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let member = connected(&gateway).await;
    exported(&gateway).await;
    gateway.pass(TOKEN);
    let job = ordered(&gateway, "user-1", member).await;
    assert_eq!(lease(&gateway, &job).await.0, 503);
    let neither = guichet(&gateway, &["grants", "thaw"]).await;
    assert!(neither.err.contains("--client"), "{neither:?}");
    let one = member.to_string();
    let ran = guichet(&gateway, &["grants", "thaw", &one]).await;
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (Some(0), "1 thawed\n"),
        "{ran:?}"
    );
    let again = guichet(&gateway, &["grants", "thaw", "--client", CLIENT]).await;
    assert_eq!(again.out, "0 thawed\n", "{again:?}");
    let unknown = guichet(&gateway, &["grants", "thaw", "--client", "nobody"]).await;
    assert!(unknown.err.contains(CLIENT), "{unknown:?}");
    // The job that had no token is pushed again.
    gateway.pass(Duration::from_secs(24 * 60 * 60 / 2));
    let pushed = gateway
        .aggregator
        .wait_for(|pushes| pushes.len() >= 3, LIMIT)
        .await;
    assert_eq!(self::job(&pushed[2]), job);
    let (status, lent) = lease(&gateway, &job).await;
    assert_eq!(status, 200, "{lent}");
    // What nobody needs is refreshed again, too.
    let asked = refreshes(&gateway).len();
    gateway.pass(IDLE);
    eventually(async || (refreshes(&gateway).len() > asked).then_some(())).await;
}

async fn imported_members_are_pulled_in_the_background_and_stay(backend: Backend) {
    let setup = Setup {
        swaps: vec![
            (
                "supports_oauth = true\n",
                "supports_oauth = true\nbackground_minutes = 600\n",
            ),
            ("#store", "keep_unconnected_days = 1"),
        ],
        ..Setup::default()
    };
    let gateway = TestGateway::with(backend, setup).await;
    let (abandoned, _) = gateway.member().await;
    let file = file(&gateway, &[granted(&gateway, "ada")]);
    let ran = import(&gateway, &file, &["--yes", "--skip-aggregation"]).await;
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let found = members(&gateway).await;
    let ada = guid(&found.iter().find(|(user, _)| user == "ada").expect("ada").1);
    // Nobody has pulled it, and it is due as one that was connected then.
    let store = &gateway.inside.store;
    let owner = store
        .owner_of_member(ada)
        .await
        .expect("read")
        .expect("ada");
    let member = store.member(owner.user, ada).await.expect("read");
    let due_at = member.expect("ada").background.expect("pulls").due_at;
    let left = due_at.duration_since(gateway.inside.clock.now()).as_secs();
    assert!((9 * 3600 - 60..=11 * 3600).contains(&left), "{left} s");
    assert!(gateway.aggregator.received().is_empty());
    gateway.pass(Duration::from_secs(11 * 3600));
    let push = nth_push(&gateway, 1).await.json();
    assert_eq!(push["member_guid"], json!(ada));
    assert_eq!(push["is_background"], true);
    // It has no link, like those that nobody connects: they go, and it stays.
    let kept = async || store.member(gateway.user, abandoned).await.expect("read");
    eventually(async || {
        let link = kept().await.expect("it").latest_window.expect("a link");
        let now = gateway.inside.clock.now();
        let link = store.window(gateway.user, link, now).await.expect("read");
        link.expect("the link").status.is_finished().then_some(())
    })
    .await;
    gateway.pass(Duration::from_secs(2 * 24 * 3600));
    eventually(async || kept().await.is_none().then_some(())).await;
    assert_eq!(seen(&gateway, "ada", ada).await["guid"], json!(ada));
}
