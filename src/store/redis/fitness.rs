//! Whether a server can be trusted with what must not be lost.

use redis::Value;

use super::keys::{Keys, VERSION};
use super::link::Link;
use super::server::Server;
use crate::store::outcome::{Result, StoreError};

/// The oldest server whose commands suffice, as major and minor version.
const OLDEST: (u32, u32) = (6, 2);

/// What the server says of itself; `None` where it does not let us read it.
#[derive(Debug, Default, PartialEq)]
struct Settings {
    version: Option<String>,
    mode: Option<String>,
    role: Option<String>,
    appendonly: Option<String>,
    appendfsync: Option<String>,
    maxmemory_policy: Option<String>,
    connected_slaves: Option<String>,
    min_replicas_to_write: Option<String>,
    /// Whether the address says that the server is part of a cluster.
    is_cluster: bool,
    /// Whether what must survive a failover is acknowledged by replicas.
    is_acknowledged: bool,
}

/// Refuses servers that may lose what they accepted, naming the setting and the remedy; gives warnings about the
/// rest. With `accept_volatile` the loss of data is a warning too.
pub(super) async fn check(link: &Link, accept_volatile: bool) -> Result<Vec<String>> {
    let mut warnings: Vec<String> = Vec::new();
    for server in link.servers() {
        let settings = read(&server, link).await?;
        for warning in judge(&settings, accept_volatile)? {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    Ok(warnings)
}

/// How many keys are looked through for those of an earlier layout, when the store is used for the first time.
const LOOKED_THROUGH: u32 = 100_000;

/// Refuses a store whose keys under this prefix another version wrote in another layout.
pub(super) async fn check_layout(link: &Link, keys: &Keys) -> Result<()> {
    let mark = format!("{}layout", keys.store());
    let home = link.server(&mark)?;
    let marked: Option<u32> = home.ask(redis::cmd("GET").arg(&mark)).await?;
    if marked == Some(VERSION) {
        return Ok(());
    }
    for server in link.servers() {
        refuse_earlier(&server, keys).await?;
    }
    home.ask::<Value>(redis::cmd("SET").arg(&mark).arg(VERSION))
        .await
        .map(drop)
}

async fn refuse_earlier(server: &Server, keys: &Keys) -> Result<()> {
    for other in 1..VERSION {
        let (mut cursor, mut looked_through) = (0_u64, 0);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(keys.pattern(other));
            scan.arg("COUNT").arg(1000);
            // A user without the permission to look cannot find such keys.
            let Ok((next, found)) = server.ask::<(u64, Vec<String>)>(&scan).await else {
                break;
            };
            if !found.is_empty() {
                return Err(StoreError::Unfit(format!(
                    "Redis holds what an earlier version of Guichet wrote under this prefix (layout \
                     {other}), and this version reads layout {VERSION} and converts nothing: choose \
                     another store.prefix or an empty database, or start the version that wrote it"
                )));
            }
            looked_through += 1000;
            cursor = next;
            if cursor == 0 || looked_through >= LOOKED_THROUGH {
                break;
            }
        }
    }
    Ok(())
}

fn judge(settings: &Settings, accept_volatile: bool) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    must_work(settings, &mut warnings)?;

    let mut volatile = Vec::new();
    match settings.appendonly.as_deref() {
        Some("yes") => {}
        Some(_) => volatile.push(
            "Redis keeps no append-only file (appendonly is not yes): a restart loses connections \
             that were already reported. Remedy: CONFIG SET appendonly yes, and appendonly yes in \
             redis.conf"
                .to_owned(),
        ),
        None => warnings.push(
            "Redis does not say whether appendonly is yes; without it a restart loses accepted data"
                .to_owned(),
        ),
    }
    match settings.maxmemory_policy.as_deref() {
        Some("noeviction") => {}
        Some(policy) => volatile.push(format!(
            "Redis may delete keys when memory is short (maxmemory-policy is {policy}). Remedy: \
             CONFIG SET maxmemory-policy noeviction, and the same line in redis.conf"
        )),
        None => warnings.push(
            "Redis does not say whether maxmemory-policy is noeviction; any other policy deletes \
             accepted data when memory is short"
                .to_owned(),
        ),
    }
    if !accept_volatile && !volatile.is_empty() {
        return Err(StoreError::Unfit(volatile.join(". ")));
    }
    warnings.append(&mut volatile);
    warn_of_failovers(settings, &mut warnings);

    if settings.appendonly.as_deref() == Some("yes") {
        match settings.appendfsync.as_deref() {
            Some("always") => {}
            Some("everysec") => warnings.push(
                "Redis writes to disk once a second (appendfsync everysec): a crash of its machine \
                 may lose up to the last second of accepted data; appendfsync always loses none"
                    .to_owned(),
            ),
            Some(other) => warnings.push(format!(
                "Redis leaves writing to disk to the system (appendfsync {other}): a crash of its \
                 machine may lose half a minute of accepted data or more; appendfsync always loses \
                 none"
            )),
            None => warnings.push(
                "Redis does not say what appendfsync is; unless it is always, a crash of its \
                 machine may lose the last accepted data"
                    .to_owned(),
            ),
        }
    }
    Ok(warnings)
}

/// What was answered before a replica had it is lost when that replica takes over.
fn warn_of_failovers(settings: &Settings, warnings: &mut Vec<String>) {
    let is_none = |number: &Option<String>| number.as_deref().is_none_or(|it| it == "0");
    if is_none(&settings.connected_slaves) {
        return;
    }
    if !settings.is_acknowledged {
        warnings.push(
            "Redis has replicas and store.acknowledged_by is 0: when one of them takes over, connections \
             are lost whose people have seen that they are connected. Remedy: remove the setting"
                .to_owned(),
        );
    }
    if is_none(&settings.min_replicas_to_write) {
        warnings.push(
            "Redis has replicas and does not ask any of them before it answers (min-replicas-to-write \
             is 0): a primary that is cut off goes on accepting links and answers that are lost when a \
             replica takes over. Remedy: CONFIG SET min-replicas-to-write 1 and min-replicas-max-lag 10, \
             and the same lines in redis.conf"
                .to_owned(),
        );
    }
}

/// Faults that `accept_volatile` does not accept.
fn must_work(settings: &Settings, warnings: &mut Vec<String>) -> Result<()> {
    let unfit = |text: String| Err(StoreError::Unfit(text));
    match settings.version.as_deref().map(|text| (text, parse(text))) {
        Some((_, Some(version))) if version >= OLDEST => {}
        Some((text, Some(_))) => {
            return unfit(format!(
                "Redis {text} is too old. Remedy: Redis {}.{} or newer, or Valkey",
                OLDEST.0, OLDEST.1
            ));
        }
        _ => warnings.push(format!(
            "Redis does not say its version; it must be {}.{} or newer",
            OLDEST.0, OLDEST.1
        )),
    }
    match (settings.mode.as_deref(), settings.is_cluster) {
        (Some("sentinel"), _) => {
            return unfit(
                "this is a Sentinel, which keeps nothing itself. Remedy: write redis+sentinel for redis, \
                 and ?service=NAME at the end, in store.url"
                    .to_owned(),
            );
        }
        (Some("cluster"), false) => {
            return unfit(
                "this Redis is part of a cluster. Remedy: write redis+cluster for redis in store.url"
                    .to_owned(),
            );
        }
        (Some("standalone"), true) => {
            return unfit(
                "this Redis is not part of a cluster. Remedy: write redis for redis+cluster in store.url"
                    .to_owned(),
            );
        }
        _ => {}
    }
    if settings.role.as_deref() == Some("slave") {
        return unfit(
            "this Redis is a replica and takes no writes. Remedy: the primary's address".to_owned(),
        );
    }
    Ok(())
}

fn parse(version: &str) -> Option<(u32, u32)> {
    let mut numbers = version.split('.').map(|number| number.parse().ok());
    Some((numbers.next()??, numbers.next()??))
}

/// Reads the settings by `CONFIG GET`; where that is not allowed, as on many managed servers, by
/// `INFO`, which knows all but `appendfsync`.
async fn read(server: &Server, link: &Link) -> Result<Settings> {
    let info = info(server).await?;
    Ok(Settings {
        version: line(&info, "redis_version"),
        mode: line(&info, "redis_mode"),
        role: line(&info, "role"),
        appendonly: match configured(server, "appendonly").await? {
            Some(value) => Some(value),
            None => line(&info, "aof_enabled").map(|enabled| match enabled.as_str() {
                "1" => "yes".to_owned(),
                _ => "no".to_owned(),
            }),
        },
        appendfsync: configured(server, "appendfsync").await?,
        maxmemory_policy: match configured(server, "maxmemory-policy").await? {
            Some(value) => Some(value),
            None => line(&info, "maxmemory_policy"),
        },
        connected_slaves: line(&info, "connected_slaves"),
        min_replicas_to_write: configured(server, "min-replicas-to-write").await?,
        is_cluster: link.is_cluster(),
        is_acknowledged: link.acknowledged_by() != Some(0),
    })
}

async fn configured(server: &Server, name: &str) -> Result<Option<String>> {
    let answer = server
        .ask::<Vec<String>>(redis::cmd("CONFIG").arg("GET").arg(name))
        .await;
    readable(answer).map(|pair| pair.and_then(|pair| pair.into_iter().nth(1)))
}

async fn info(server: &Server) -> Result<String> {
    let answer = server.ask::<Value>(&redis::cmd("INFO")).await;
    Ok(match readable(answer)? {
        Some(Value::BulkString(text)) => String::from_utf8_lossy(&text).into_owned(),
        Some(Value::VerbatimString { text, .. }) => text,
        _ => String::new(),
    })
}

/// A server that refuses to tell is no failure; one that does not reply is.
fn readable<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(StoreError::Unavailable(error)) => Err(StoreError::Unavailable(error)),
        Err(_) => Ok(None),
    }
}

fn line(info: &str, name: &str) -> Option<String> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> Settings {
        let text = |text: &str| Some(text.to_owned());
        Settings {
            version: text("7.0.15"),
            mode: text("standalone"),
            role: text("master"),
            appendonly: text("yes"),
            appendfsync: text("always"),
            maxmemory_policy: text("noeviction"),
            connected_slaves: text("0"),
            min_replicas_to_write: text("0"),
            is_cluster: false,
            is_acknowledged: true,
        }
    }

    #[test]
    fn replicas_that_nobody_waits_for_are_warned_about() {
        let with = |replicas: &str, least: &str| Settings {
            connected_slaves: Some(replicas.to_owned()),
            min_replicas_to_write: Some(least.to_owned()),
            ..sound()
        };
        let warnings = judge(&with("2", "0"), false).expect("fit");
        assert!(
            warnings.len() == 1 && warnings[0].contains("min-replicas-to-write"),
            "{warnings:?}"
        );
        let unacknowledged = Settings {
            is_acknowledged: false,
            ..with("2", "1")
        };
        let warnings = judge(&unacknowledged, false).expect("fit");
        assert!(
            warnings.len() == 1 && warnings[0].contains("store.acknowledged_by"),
            "{warnings:?}"
        );
        for (replicas, least) in [("0", "0"), ("2", "1")] {
            let warnings = judge(&with(replicas, least), false).expect("fit");
            assert_eq!(warnings, Vec::<String>::new());
        }
    }

    fn refusal(settings: &Settings, accept_volatile: bool) -> String {
        match judge(settings, accept_volatile) {
            Err(StoreError::Unfit(text)) => text,
            other => panic!("{settings:?} was judged {other:?}"),
        }
    }

    #[test]
    fn a_sound_server_needs_no_words() {
        assert_eq!(judge(&sound(), false).expect("fit"), Vec::<String>::new());
    }

    #[test]
    fn what_loses_data_is_refused_by_name_unless_accepted() {
        let no_log = Settings {
            appendonly: Some("no".to_owned()),
            ..sound()
        };
        let evicting = Settings {
            maxmemory_policy: Some("allkeys-lru".to_owned()),
            ..sound()
        };
        assert!(refusal(&no_log, false).contains("CONFIG SET appendonly yes"));
        assert!(refusal(&evicting, false).contains("maxmemory-policy is allkeys-lru"));
        assert_eq!(judge(&no_log, true).expect("accepted").len(), 1);
        assert_eq!(judge(&evicting, true).expect("accepted").len(), 1);
    }

    #[test]
    fn every_second_is_a_warning_of_a_second() {
        let every_second = Settings {
            appendfsync: Some("everysec".to_owned()),
            ..sound()
        };
        let warnings = judge(&every_second, false).expect("fit");
        assert!(warnings.len() == 1 && warnings[0].contains("the last second"));
    }

    #[test]
    fn what_cannot_be_read_is_warned_about() {
        let warnings = judge(&Settings::default(), false).expect("not refused");
        assert_eq!(warnings.len(), 3, "{warnings:?}");
    }

    #[test]
    fn what_cannot_work_is_refused_even_when_loss_is_accepted() {
        let change = |change: fn(&mut Settings)| {
            let mut settings = sound();
            change(&mut settings);
            refusal(&settings, true)
        };
        assert!(change(|it| it.version = Some("6.0.16".to_owned())).contains("6.2 or newer"));
        assert!(change(|it| it.mode = Some("cluster".to_owned())).contains("redis+cluster"));
        assert!(change(|it| it.mode = Some("sentinel".to_owned())).contains("redis+sentinel"));
        assert!(change(|it| it.is_cluster = true).contains("not part of a cluster"));
        assert!(change(|it| it.role = Some("slave".to_owned())).contains("replica"));
    }

    #[test]
    fn lines_of_info_are_found_by_their_whole_name() {
        let info = "# Server\r\nredis_version:7.0.15\r\nxrole:slave\r\nrole:master\r\n";
        assert_eq!(line(info, "redis_version").as_deref(), Some("7.0.15"));
        assert_eq!(line(info, "role").as_deref(), Some("master"));
        assert_eq!(line(info, "aof_enabled"), None);
    }
}
