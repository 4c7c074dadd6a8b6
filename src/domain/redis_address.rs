//! The address of a Redis or Valkey store, as it is written in the configuration.
//!
//! ```text
//! redis://user:password@host:port/database
//! redis+sentinel://user:password@host:port,host:port/database?service=NAME&sentinel_user=…&sentinel_password=…
//! redis+cluster://user:password@host:port,host:port
//! ```
//!
//! With `rediss` in place of `redis` every connection is encrypted, those to Sentinels too. What stands before the
//! `@` is percent-encoded, and so are the values behind the `?`.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::form_urlencoded;

/// The port of a server that is named without one.
const SERVER_PORT: u16 = 6379;

/// The port of a Sentinel that is named without one.
const SENTINEL_PORT: u16 = 26379;

/// Where the store's servers are, and what is said to them first.
#[derive(Clone, Debug)]
pub struct RedisAddress {
    /// How the server that takes writes is found.
    pub servers: Servers,
    /// Whether connections are encrypted (TLS).
    pub is_encrypted: bool,
    /// The login at the servers.
    pub login: Login,
    /// The number of the database; a cluster has only number 0.
    pub database: u32,
}

/// How the server that takes writes is found.
#[derive(Clone, Debug)]
pub enum Servers {
    /// It is this one.
    One(Host),
    /// Sentinels say which one it is.
    Watched {
        /// The Sentinels, at least one.
        sentinels: Vec<Host>,
        /// The name they know the server by.
        service: String,
        /// The login at the Sentinels.
        login: Login,
    },
    /// Each hash slot has its own; these hosts, at least one, are asked first for the others.
    Cluster(Vec<Host>),
}

/// A host and its port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Host {
    /// A name, or an address; an IPv6 address without brackets.
    pub name: String,
    /// The TCP port.
    pub port: u16,
}

/// A user and its password.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// The name of an ACL user; without one it is `default`.
    pub user: Option<String>,
    /// Its password; without one nothing is said.
    pub password: Option<SecretString>,
}

/// Text that is no address of a store. No variant holds what may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRedisAddress {
    /// Not one of the six schemes.
    #[error(
        "is not the address of a store; write sqlite:FILE, redis://host:port, \
         redis+sentinel://host:port,host:port?service=NAME or redis+cluster://host:port,host:port, \
         and rediss for redis where connections are encrypted"
    )]
    Scheme,
    /// A sign in the login ends the part before the `@`.
    #[error(
        "has a user name or password with a sign that ends the part before the @; write / as %2F, ? as \
         %3F and # as %23 in it"
    )]
    Login,
    /// No host, or one that cannot be.
    #[error(
        "has no host, or one that cannot be read, where its number {0} should be; write host:port, with \
         an IPv6 address in brackets"
    )]
    Host(usize),
    /// Several hosts where one is meant.
    #[error(
        "names several hosts; only redis+sentinel:// and redis+cluster:// addresses have more than one"
    )]
    SeveralHosts,
    /// No number of a database.
    #[error(
        "ends with what is not the number of a database; write a number after the last /, as in \
         redis://host:6379/1, or nothing"
    )]
    Database,
    /// A database of a cluster other than 0.
    #[error("names a database, and a cluster has only number 0; remove what follows the last /")]
    ClusterDatabase,
    /// The name that Sentinels know the server by is missing.
    #[error(
        "does not say which server the Sentinels watch; add ?service=NAME, the name that stands behind \
         \"sentinel monitor\" in their configuration"
    )]
    NoService,
    /// A parameter that nobody reads there.
    #[error(
        "has behind its ? or # what is not read there; only service, sentinel_user and sentinel_password \
         are, each once and in a redis+sentinel:// address"
    )]
    Parameter,
}

impl FromStr for RedisAddress {
    type Err = InvalidRedisAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        use InvalidRedisAddress as Invalid;
        let (scheme, rest) = text.split_once("://").ok_or(Invalid::Scheme)?;
        let (family, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        let is_encrypted = match family {
            "redis" => false,
            "rediss" => true,
            _ => return Err(Invalid::Scheme),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at(end);
        let (login, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        // In a password with such a sign, the part before it is read as host and port. A Sentinel's password is
        // behind the ?, and may have an @.
        let login_would_be = if kind == "sentinel" { path } else { rest };
        if login_would_be.contains('@') && !authority.contains('@') {
            return Err(Invalid::Login);
        }
        if path.contains('#') || query.contains('#') {
            return Err(Invalid::Parameter);
        }
        let port = if kind == "sentinel" {
            SENTINEL_PORT
        } else {
            SERVER_PORT
        };
        let hosts = hosts.split(',').enumerate();
        let hosts = hosts.map(|(i, host)| Host::of(host, port).ok_or(Invalid::Host(i + 1)));
        let mut hosts = hosts.collect::<Result<Vec<Host>, _>>()?;
        let database = match path.trim_matches('/') {
            "" => 0,
            number => number.parse().map_err(|_| Invalid::Database)?,
        };
        let mut parameters = Parameters::of(query, kind == "sentinel")?;
        let servers = match kind {
            "" if hosts.len() > 1 => return Err(Invalid::SeveralHosts),
            "" => Servers::One(hosts.remove(0)),
            "sentinel" => Servers::Watched {
                sentinels: hosts,
                service: parameters.service.take().ok_or(Invalid::NoService)?,
                login: parameters.login,
            },
            "cluster" if database != 0 => return Err(Invalid::ClusterDatabase),
            "cluster" => Servers::Cluster(hosts),
            _ => return Err(Invalid::Scheme),
        };
        Ok(Self {
            servers,
            is_encrypted,
            login: Login::of(login)?,
            database,
        })
    }
}

impl RedisAddress {
    /// The servers or Sentinels that the address names.
    pub fn hosts(&self) -> &[Host] {
        match &self.servers {
            Servers::One(host) => std::slice::from_ref(host),
            Servers::Watched { sentinels, .. } => sentinels,
            Servers::Cluster(hosts) => hosts,
        }
    }

    /// Whether all of it is on this machine.
    pub fn is_loopback(&self) -> bool {
        self.hosts().iter().all(|host| match host.name.parse() {
            Ok(address) => IpAddr::is_loopback(&address),
            Err(_) => host.name == "localhost",
        })
    }
}

/// For a log: without users, passwords and parameters.
impl fmt::Display for RedisAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.is_encrypted { "rediss" } else { "redis" };
        let kind = match self.servers {
            Servers::One(_) => "",
            Servers::Watched { .. } => "+sentinel",
            Servers::Cluster(_) => "+cluster",
        };
        write!(f, "{family}{kind}://")?;
        for (number, host) in self.hosts().iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma}{host}")?;
        }
        match self.database {
            0 => Ok(()),
            number => write!(f, "/{number}"),
        }
    }
}

impl Host {
    /// Reads `host`, `host:port`, `[address]` or `[address]:port`.
    fn of(text: &str, default_port: u16) -> Option<Self> {
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (address, port) = rest.split_once(']')?;
                address.parse::<std::net::Ipv6Addr>().ok()?;
                (address, port)
            }
            None => text.split_at(text.find(':').unwrap_or(text.len())),
        };
        let is_sign = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if port.is_empty() => default_port,
            None => return None,
        };
        let is_sound = !name.is_empty() && name.chars().all(is_sign);
        is_sound.then(|| Self {
            name: name.to_owned(),
            port,
        })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Login {
    /// Reads `user:password`, `:password` or nothing.
    fn of(text: &str) -> Result<Self, InvalidRedisAddress> {
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            let text = text.map_err(|_| InvalidRedisAddress::Login)?;
            Ok((!text.is_empty()).then(|| text.into_owned()))
        };
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Ok(Self {
            user: decoded(user)?,
            password: decoded(password)?.map(SecretString::from),
        })
    }
}

/// What stands behind the `?`.
#[derive(Default)]
struct Parameters {
    service: Option<String>,
    login: Login,
}

impl Parameters {
    fn of(query: &str, is_sentinel: bool) -> Result<Self, InvalidRedisAddress> {
        let mut found = Self::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let value = value.into_owned();
            let earlier = match &*name {
                "service" if is_sentinel => found.service.replace(value).is_some(),
                "sentinel_user" if is_sentinel => found.login.user.replace(value).is_some(),
                "sentinel_password" if is_sentinel => {
                    let password = &mut found.login.password;
                    password.replace(SecretString::from(value)).is_some()
                }
                _ => true,
            };
            if earlier {
                return Err(InvalidRedisAddress::Parameter);
            }
        }
        found.service = found.service.filter(|service| !service.is_empty());
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    fn read(text: &str) -> RedisAddress {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn password(login: &Login) -> Option<&str> {
        login.password.as_ref().map(ExposeSecret::expose_secret)
    }

    #[test]
    fn one_server_is_named_as_it_always_was() {
        for (text, shown) in [
            ("redis://127.0.0.1:6379", "redis://127.0.0.1:6379"),
            ("redis://localhost/2", "redis://localhost:6379/2"),
            ("rediss://[::1]:7000/", "rediss://[::1]:7000"),
            ("redis://h/0", "redis://h:6379"),
        ] {
            let address = read(text);
            assert!(matches!(address.servers, Servers::One(_)), "{text}");
            assert_eq!(address.to_string(), shown);
        }
        let address = read("rediss://g%40b:p%2Fw%3F%23@redis.internal:1/3");
        assert_eq!(address.login.user.as_deref(), Some("g@b"));
        assert_eq!(password(&address.login), Some("p/w?#"));
        assert!(address.is_encrypted && address.database == 3);
        let address = read("redis://:only+this@h");
        assert_eq!(address.login.user, None);
        assert_eq!(password(&address.login), Some("only+this"));
    }

    #[test]
    fn sentinels_are_named_with_what_they_watch_and_their_own_login() {
        let text = "redis+sentinel://u:p@one:1,two,[::1]/4?service=bank%20s&sentinel_user=s&sentinel_password=q%26@";
        let address = read(text);
        let Servers::Watched {
            sentinels,
            service,
            login,
        } = &address.servers
        else {
            panic!("{address:?}");
        };
        let shown: Vec<String> = sentinels.iter().map(Host::to_string).collect();
        assert_eq!(shown, ["one:1", "two:26379", "[::1]:26379"]);
        assert_eq!(service, "bank s");
        assert_eq!(login.user.as_deref(), Some("s"));
        assert_eq!(password(login), Some("q&@"));
        assert_eq!(password(&address.login), Some("p"));
        assert_eq!(address.database, 4);
    }

    #[test]
    fn a_cluster_is_named_by_some_of_its_nodes() {
        let address = read("rediss+cluster://u:p@one:1,two");
        let Servers::Cluster(hosts) = &address.servers else {
            panic!("{address:?}");
        };
        assert_eq!(hosts.len(), 2);
        assert_eq!(address.to_string(), "rediss+cluster://one:1,two:6379");
    }

    #[test]
    fn what_is_wrong_is_named_and_no_password_repeated() {
        use InvalidRedisAddress as Invalid;
        for (text, expected) in [
            ("", Invalid::Scheme),
            ("localhost:6379", Invalid::Scheme),
            ("http://h", Invalid::Scheme),
            ("redis+proxy://h", Invalid::Scheme),
            ("redis://", Invalid::Host(1)),
            ("redis+cluster://one,,two", Invalid::Host(2)),
            ("redis://h:hunter2", Invalid::Host(1)),
            ("redis://h:70000", Invalid::Host(1)),
            ("redis://::1", Invalid::Host(1)),
            ("redis://[h]", Invalid::Host(1)),
            ("redis://u:hunter2#@h", Invalid::Login),
            ("redis://u:hunter/2@h", Invalid::Login),
            ("redis://u:hunter2%ff@h", Invalid::Login),
            ("redis://one,two", Invalid::SeveralHosts),
            ("redis://h/a", Invalid::Database),
            ("redis://h/-1", Invalid::Database),
            ("redis+cluster://h/1", Invalid::ClusterDatabase),
            ("redis+sentinel://h", Invalid::NoService),
            ("redis+sentinel://h?service=", Invalid::NoService),
            ("redis://h?service=s", Invalid::Parameter),
            ("rediss://h#insecure", Invalid::Parameter),
            ("redis+sentinel://h?service=s&service=t", Invalid::Parameter),
        ] {
            let error = text.parse::<RedisAddress>().expect_err(text);
            assert_eq!(error, expected, "{text}");
            assert!(!error.to_string().contains("hunter"), "{text}: {error}");
        }
    }

    #[test]
    fn no_password_is_shown() {
        let address = read("redis+sentinel://u:hunter2@h?service=s&sentinel_password=hunter2");
        let shown = format!("{address} {address:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for (text, expected) in [
            ("redis://127.0.0.1", true),
            ("redis://localhost", true),
            ("redis://[::1]", true),
            ("redis+cluster://127.0.0.1:1,127.0.0.1:2", true),
            ("redis+cluster://127.0.0.1,redis.internal", false),
            ("redis://redis.internal", false),
        ] {
            assert_eq!(read(text).is_loopback(), expected, "{text}");
        }
    }
}
