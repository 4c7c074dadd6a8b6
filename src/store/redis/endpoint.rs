//! One server or Sentinel: connecting to it and signing in.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::failure::{self, Cause, NotInTime};
use super::resolver::Resolver;
use crate::domain::redis_address::{Host, Login};

/// How long one attempt to connect may take, from the first packet to the first answer.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How many commands may wait for a connection before callers do.
const QUEUE: usize = 1024;

/// What is the same for every server of a store, or for every Sentinel.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// Whether connections are encrypted.
    pub(super) is_encrypted: bool,
    /// The user and its password.
    pub(super) login: Login,
    /// The number of the database.
    pub(super) database: u32,
    /// What finds the addresses of names.
    pub(super) resolver: Resolver,
}

/// Where one server is, and what is said to it first. We say it ourselves: the library keeps from us what the
/// server answers to a password.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// The server.
    pub(super) host: Host,
    /// The way in.
    pub(super) access: Access,
}

impl Endpoint {
    /// Connects, signs in, chooses the database, and waits for an answer: what takes connections and answers
    /// nothing is no server.
    pub(super) async fn connect(&self) -> Result<MultiplexedConnection, Cause> {
        match timeout(CONNECT_TIMEOUT, self.sign_in()).await {
            Ok(connected) => Ok(connected?),
            Err(_) => Err(NotInTime(CONNECT_TIMEOUT).into()),
        }
    }

    async fn sign_in(&self) -> redis::RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_pipeline_buffer_size(QUEUE)
            .set_dns_resolver(self.access.resolver.clone());
        let client = Client::open(self.place()?)?;
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let Access {
            login, database, ..
        } = &self.access;
        if let Some(password) = &login.password {
            let mut auth = redis::cmd("AUTH");
            auth.arg(&login.user).arg(password.expose_secret());
            auth.exec_async(&mut connection).await?;
        }
        if *database != 0 {
            let mut select = redis::cmd("SELECT");
            select.arg(database).exec_async(&mut connection).await?;
        }
        match redis::cmd("PING").exec_async(&mut connection).await {
            // A user that may do no more than it has to is answered all the same.
            Err(error) if failure::is_no_permission(&error) => Ok(connection),
            answer => answer.map(|()| connection),
        }
    }

    fn place(&self) -> redis::RedisResult<ConnectionInfo> {
        let Host { name, port } = self.host.clone();
        if self.access.is_encrypted {
            let place = ConnectionAddr::TcpTls {
                host: name,
                port,
                insecure: false,
                tls_params: None,
            };
            return place.into_connection_info();
        }
        ConnectionAddr::Tcp(name, port).into_connection_info()
    }
}
