//! `check`, `keys` and `serve`: the commands that take a configuration.

use std::net::TcpListener;

use super::Installation;
use crate::support::guichet::{Running, write};
use crate::support::process::free_port;
use crate::support::visitor::http;

#[test]
fn check_says_that_all_is_well() {
    let installation = Installation::new();
    let ran = installation.check();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for line in [
        "is sound",
        "institutions: 1",
        "clients: 1",
        "guichet.sqlite is not there yet",
    ] {
        assert!(ran.out.contains(line), "{line}: {ran:?}");
    }
    // The key can be read by everybody on the machine, or not: the warning is the configuration's.
    assert!(ran.err.is_empty(), "{ran:?}");
}

#[test]
fn check_makes_and_changes_no_file() {
    let installation = Installation::new();
    let files = || {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(installation.folder.path()).expect("a folder") {
            let entry = entry.expect("an entry");
            let content = std::fs::read(entry.path()).unwrap_or_default();
            files.push((entry.file_name(), content));
        }
        files.sort();
        files
    };
    let before = files();
    assert_eq!(installation.check().code, Some(0));
    assert_eq!(installation.check_online().code, Some(1), "no bank.example");
    assert_eq!(files(), before);

    assert_eq!(installation.keys("create", &[]).code, Some(0));
    let before = files();
    let ran = installation.check();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("store: reached"), "{ran:?}");
    assert_eq!(files(), before);
}

#[test]
fn check_says_all_that_is_wrong() {
    let installation = Installation::new();
    installation.edit(
        "[store]\n",
        "[store]\nflavour = \"mint\"\nprefix = \"{x}\"\n",
    );
    installation.edit("id = \"acme\"", "id = \"a c\"");
    installation.edit("client_secret = \"issued by the institution\"\n", "");
    let institution = "institutions/example_bank.toml";
    let path = installation.folder.path().join(institution);
    let text = std::fs::read_to_string(&path).expect("a file");
    write(
        installation.folder.path(),
        institution,
        &text.replace("https", "ftp"),
    );
    let ran = installation.check();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for key in [
        "store.flavour: ",
        "store.prefix: ",
        "clients[0].id: ",
        "oauth.authorization_endpoint: ",
        "oauth.token_endpoint: ",
    ] {
        assert!(ran.err.contains(key), "{key}: {ran:?}");
    }
    assert_eq!(ran.err.lines().count(), 5, "{ran:?}");
}

/// A host on this machine that takes connections.
fn host() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    (listener, format!("http://{address}"))
}

#[test]
fn check_online_says_which_hosts_are_not_reached() {
    let installation = Installation::new();
    let (bank, there) = host();
    // Whatever it says: it is there.
    std::thread::spawn(move || bank.accept().map(drop));
    let (gone, nowhere) = host();
    drop(gone);
    let institution = "institutions/example_bank.toml";
    let path = installation.folder.path().join(institution);
    let text = std::fs::read_to_string(&path).expect("a file");
    let text = text
        .replace(
            "https://bank.example/authorize",
            &format!("{there}/authorize"),
        )
        .replace("https://bank.example/token", &format!("{nowhere}/token"));
    write(installation.folder.path(), institution, &text);
    assert_eq!(
        installation.check().code,
        Some(0),
        "only where it is asked for"
    );
    let ran = installation.check_online();
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.out.contains(&format!("{there} is reached")), "{ran:?}");
    assert!(
        ran.out.contains(&format!("{nowhere} is not reached: ")),
        "{ran:?}"
    );
    assert!(ran.err.contains("1 of 2 hosts"), "{ran:?}");
}

#[test]
fn check_online_says_that_the_store_takes_no_writes() {
    let redis = crate::support::redis::Redis::start();
    redis
        .command("ACL SETUSER reader on >secret ~* +@read +@connection +info +config +script|load");
    let url = redis.url().replace("redis://", "redis://reader:secret@");
    let installation = Installation::with_store(&url);
    let ran = installation.check_online();
    assert_eq!(ran.code, Some(4), "{ran:?}");
    assert!(ran.err.contains("permission"), "{ran:?}");
    assert!(
        !ran.err.contains("secret") && !ran.err.contains("unreadable"),
        "{ran:?}"
    );

    redis.command("ACL SETUSER reader +@all");
    let ran = installation.check_online();
    assert!(ran.out.contains("store: takes writes"), "{ran:?}");
}

#[test]
fn check_warns_of_what_leads_nowhere() {
    let installation = Installation::new();
    installation.edit("[[clients.registrations]]\n", "");
    for line in [
        "institution = \"example_bank\"\n",
        "client_id = \"acme-at-example-bank\"\n",
        "client_secret = \"issued by the institution\"\n",
    ] {
        installation.edit(line, "");
    }
    let ran = installation.check();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    for word in [
        "no client has a registration at example_bank",
        "oauth.pkce: is \"auto\"",
    ] {
        assert!(ran.out.contains(word), "{word}: {ran:?}");
    }
    installation.edit("[[clients]]\nid = \"acme\"\nname = \"Acme Budget\"\n", "");
    let ran = installation.check();
    assert!(ran.out.contains("clients: there are none"), "{ran:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn check_warns_of_few_open_files() {
    let installation = Installation::new();
    // As `serve` does: each connection may need a call as well, and 192 are kept for everything else.
    installation.edit(
        "[listen]\n",
        "[listen]\nconnections = 400\nconnections_per_source = 100\n",
    );
    let limited = |most: u32| {
        let script = format!("ulimit -n {most}; exec \"$@\"");
        let program = env!("CARGO_BIN_EXE_guichet");
        let arguments = [
            "-c",
            &script,
            "sh",
            program,
            "check",
            "--config",
            &installation.file,
        ];
        let ran = std::process::Command::new("sh").args(arguments).output();
        String::from_utf8_lossy(&ran.expect("sh starts").stdout).into_owned()
    };
    let few = "warning: 900 descriptors leave room for 354 connections, not for the 400 of";
    assert!(limited(900).contains(few), "{}", limited(900));
    assert!(!limited(992).contains("descriptors"), "{}", limited(992));
}

#[test]
fn check_warns_of_replicas_that_nobody_waits_for() {
    let primary = crate::support::redis::Redis::start();
    let replica = crate::support::redis::Redis::start();
    let port = primary.url();
    let port = port
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .expect("a port");
    replica.command(&format!("REPLICAOF 127.0.0.1 {port}"));
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !primary
        .command("INFO replication")
        .contains("connected_slaves:1")
    {
        assert!(std::time::Instant::now() < deadline, "no replica");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let ran = Installation::with_store(&primary.url()).check();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("min-replicas-to-write is 0"), "{ran:?}");
    primary.command("CONFIG SET min-replicas-to-write 1");
    let ran = Installation::with_store(&primary.url()).check();
    assert!(!ran.out.contains("min-replicas"), "{ran:?}");
}

#[test]
fn check_says_where_the_configuration_is_wrong() {
    let installation = Installation::new();
    installation.edit("[store]\n", "[store]\nflavour = \"mint\"\n");
    let ran = installation.check();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for word in ["guichet.toml", "flavour"] {
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
    assert!(
        ran.err.contains("9:1") || (ran.err.contains("line 9") && ran.err.contains("column 1")),
        "{ran:?}"
    );
    assert!(ran.out.is_empty(), "{ran:?}");
}

#[test]
fn check_says_which_institution_is_wrong() {
    let installation = Installation::new();
    let text = "guid = \"INS-1\"\ncode = \"b\"\nname = \"B\"\nsupports_oauth = false\n";
    write(installation.folder.path(), "institutions/b.toml", text);
    let ran = installation.check();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    for word in ["b.toml", "guid"] {
        assert!(ran.err.contains(word), "{word}: {ran:?}");
    }
}

#[test]
fn a_configuration_that_is_not_there_ends_with_3() {
    let installation = Installation::new();
    std::fs::remove_file(&installation.file).expect("removed");
    let ran = installation.check();
    assert_eq!(ran.code, Some(3), "{ran:?}");
    assert!(ran.err.contains("guichet.toml"), "{ran:?}");
}

#[test]
fn check_says_that_the_store_cannot_be_used() {
    for store in [
        format!("redis://127.0.0.1:{}/", free_port()),
        "sqlite:no/such/folder/guichet.sqlite".to_owned(),
    ] {
        let ran = Installation::with_store(&store).check();
        assert_eq!(ran.code, Some(4), "{store} {ran:?}");
        assert!(ran.out.contains("is sound"), "{ran:?}");
        assert!(ran.err.starts_with("guichet: "), "{ran:?}");
        assert!(
            ran.err.trim().len() > "guichet: ".len() + 10,
            "in words: {ran:?}"
        );
    }
}

#[test]
fn a_client_has_two_keys_at_most() {
    let installation = Installation::new();
    let first = installation.keys("create", &[]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let key = first.out.trim();
    assert_eq!(first.out, format!("{key}\n"), "the key alone");
    let id = key
        .strip_prefix("ogk_")
        .and_then(|rest| rest.get(..8))
        .expect("an id");
    let second = installation.keys("create", &[]);
    assert_eq!(second.code, Some(0), "{second:?}");
    let third = installation.keys("create", &[]);
    assert_eq!((third.code, third.out.as_str()), (Some(1), ""), "{third:?}");
    assert!(
        third.err.contains("two active keys") && third.err.contains("retire"),
        "{third:?}"
    );

    let listed = installation.keys("list", &[]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let lines: Vec<&str> = listed.out.lines().collect();
    assert_eq!(lines.len(), 2, "{listed:?}");
    assert!(
        lines.iter().all(|line| line.ends_with("active")),
        "{listed:?}"
    );
    assert!(lines.iter().any(|line| line.starts_with(id)), "{listed:?}");
    assert!(!listed.out.contains(key), "a key is shown once");

    let retired = installation.keys("retire", &[id]);
    assert_eq!(retired.code, Some(0), "{retired:?}");
    let again = installation.keys("retire", &[id]);
    assert_eq!(again.code, Some(1), "{again:?}");
    assert!(again.err.contains(id), "{again:?}");
    assert!(installation.keys("list", &[]).out.contains("retired"));
    assert_eq!(
        installation.keys("create", &[]).code,
        Some(0),
        "there is room again"
    );
}

#[test]
fn an_unknown_client_is_told_which_there_are() {
    let installation = Installation::new();
    let arguments = [
        "keys",
        "create",
        "--config",
        &installation.file,
        "--client",
        "acne",
    ];
    let ran = crate::support::guichet::run(arguments);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        ran.err.contains("acne") && ran.err.contains("acme"),
        "{ran:?}"
    );
}

/// Waits until the command responds there with success.
async fn served(running: &mut Running, address: &str) -> String {
    loop {
        if let Ok(response) = http().get(address).send().await
            && response.status() == 200
        {
            return response.text().await.expect("a body");
        }
        assert!(running.runs(), "it ended: {}", running.err());
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_answers_and_takes_keys_made_beside_it() {
    let installation = Installation::new();
    let mut running = Running::start(["serve", "--config", &installation.file]);
    let operator = format!("http://127.0.0.1:{}", installation.operator);
    assert_eq!(
        served(&mut running, &format!("{operator}/healthz")).await,
        "alive\n"
    );
    assert_eq!(
        served(&mut running, &format!("{operator}/readyz")).await,
        "ready\n"
    );
    let metrics = served(&mut running, &format!("{operator}/metrics")).await;
    assert!(
        metrics.contains("# TYPE") && metrics.ends_with("# EOF\n"),
        "{metrics}"
    );

    let created = installation.keys("create", &[]);
    let key = created.out.trim();
    let users = format!("http://127.0.0.1:{}/users", installation.public);
    let status = async |key: &str| {
        let request = http().get(&users).basic_auth("acme", Some(key));
        request.send().await.expect("a response").status().as_u16()
    };
    assert_eq!(status(key).await, 200);
    let retired = installation.keys("retire", &[&key[4..12]]);
    assert_eq!(retired.code, Some(0), "{retired:?}");
    assert_eq!(status(key).await, 401, "it stops working at once");
    // The operator's paths are not on the public listener.
    let public = format!("http://127.0.0.1:{}/metrics", installation.public);
    assert_eq!(
        http()
            .get(public)
            .send()
            .await
            .expect("a response")
            .status(),
        404
    );

    let ran = running.stop("TERM");
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(!ran.err.contains(key), "{ran:?}");
}

#[test]
fn a_port_in_use_is_named() {
    let installation = Installation::new();
    let address = format!("127.0.0.1:{}", installation.public);
    let taken = TcpListener::bind(&address).expect("the port was free");
    let ran = crate::support::guichet::run(["serve", "--config", &installation.file]);
    drop(taken);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let words = format!("guichet: cannot listen on {address}: ");
    assert!(ran.err.contains(&words), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_signal_ends_it_at_once_and_loses_no_line() {
    let installation = Installation::new();
    installation.edit("drain_seconds = 0", "drain_seconds = 60");
    let mut running = Running::start(["serve", "--config", &installation.file]);
    let readiness = format!("http://127.0.0.1:{}/readyz", installation.operator);
    served(&mut running, &readiness).await;
    running.signal("TERM");
    while http()
        .get(&readiness)
        .send()
        .await
        .is_ok_and(|response| response.status() == 200)
    {
        tokio::task::yield_now().await;
    }
    let ran = running.stop("TERM");
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains("stopping, not ready any more"), "{ran:?}");
}
