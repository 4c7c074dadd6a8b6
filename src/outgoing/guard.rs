//! Calls of addresses that somebody else than the operator named ([`called_address`](crate::domain::called_address)).
//!
//! The check is made for each connection, on the addresses that a name resolves to, not on the name beforehand.

use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder};
use tokio::net::lookup_host;
use url::{Host, Url};

use super::Outgoing;
use crate::domain::called_address::{Allowed, Forbidden, Route, is_public, route};

/// Clients for addresses that others named.
pub struct Guarded {
    /// Resolves names to public addresses only.
    guarded: Client,
    /// For the hosts that the operator allowed.
    allowed: Client,
    /// Whether a proxy resolves names, where they cannot be checked.
    has_proxy: bool,
}

impl Guarded {
    /// Sets them up, each with what `configure` adds.
    ///
    /// A proxy resolves names itself, and only the proxy can check the result. Here, numeric private
    /// addresses are refused, and names that this machine resolves to private addresses.
    ///
    /// # Errors
    ///
    /// No client can be made on this machine.
    pub fn new(
        outgoing: &Outgoing,
        configure: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> Result<Self, reqwest::Error> {
        let proxy = outgoing.proxy_host().map(str::to_owned);
        let has_proxy = proxy.is_some();
        let resolver = GuardedResolver { look_up, proxy };
        Ok(Self {
            guarded: configure(outgoing.builder().dns_resolver(resolver)).build()?,
            allowed: configure(outgoing.builder()).build()?,
            has_proxy,
        })
    }

    /// The client that `url` may be called with.
    ///
    /// # Errors
    ///
    /// [`Forbidden`]: it is not to be called.
    pub async fn client(&self, url: &Url, allowed: Allowed<'_>) -> Result<&Client, Forbidden> {
        match route(url, allowed)? {
            Route::Allowed => Ok(&self.allowed),
            Route::Guarded => {
                if self.has_proxy {
                    look_here(url).await?;
                }
                Ok(&self.guarded)
            }
        }
    }
}

/// Resolves names and keeps the public addresses, for each connection anew.
struct GuardedResolver {
    look_up: LookUp,
    /// The host of the operator's proxy, which may be anywhere.
    proxy: Option<String>,
}

/// Finds the addresses of a name.
type LookUp = fn(String) -> LookingUp;
type LookingUp = Pin<Box<dyn Future<Output = std::io::Result<Vec<SocketAddr>>> + Send>>;

/// Asks the system's resolver.
fn look_up(name: String) -> LookingUp {
    Box::pin(async move { Ok(lookup_host((name, 0)).await?.collect()) })
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxy.as_deref() == Some(name.as_str());
        let looking = (self.look_up)(name.as_str().to_owned());
        Box::pin(async move {
            let found = looking.await?;
            let found = match is_proxy {
                true => found,
                false => public_only(found.into_iter())?,
            };
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// Resolves the host of `url` on this machine, before a proxy resolves it: refused if any of its
/// addresses is not public, because the proxy may call that one. If the name is not found here, or not
/// within 5 seconds, the proxy has to judge it.
async fn look_here(url: &Url) -> Result<(), Forbidden> {
    const TIME: Duration = Duration::from_secs(5);
    let Some(Host::Domain(name)) = url.host() else {
        return Ok(());
    };
    let found = tokio::time::timeout(TIME, lookup_host((name, 0))).await;
    let Ok(Ok(mut found)) = found else {
        return Ok(());
    };
    match found.all(|address| is_public(address.ip())) {
        true => Ok(()),
        false => Err(Forbidden::NotPublic),
    }
}

fn public_only(found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
    let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
    if public.is_empty() {
        return Err(Forbidden::NotPublic);
    }
    Ok(public)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_server::{FakeServer, json};

    #[test]
    fn s2_a_name_keeps_its_public_addresses_only() {
        let found = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let mixed = found(&["10.0.0.1:0", "1.1.1.1:0", "[::1]:0"]);
        assert_eq!(public_only(mixed.into_iter()), Ok(found(&["1.1.1.1:0"])));
        let private = found(&["10.0.0.1:0", "[fd00::1]:0"]);
        assert_eq!(public_only(private.into_iter()), Err(Forbidden::NotPublic));
        assert_eq!(public_only(std::iter::empty()), Err(Forbidden::NotPublic));
    }

    async fn resolved(resolver: &GuardedResolver, name: &str) -> Result<Vec<SocketAddr>, String> {
        let found = resolver.resolve(name.parse().unwrap()).await;
        found
            .map(Iterator::collect)
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn s2_a_name_that_leads_elsewhere_the_next_time_is_refused_then() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        fn rebinding(_: String) -> LookingUp {
            let address = match ASKED.fetch_add(1, Ordering::SeqCst) {
                0 => "1.1.1.1:0",
                _ => "169.254.169.254:0",
            };
            Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
        }
        let resolver = GuardedResolver {
            look_up: rebinding,
            proxy: None,
        };
        let public = Ok(vec!["1.1.1.1:0".parse().unwrap()]);
        assert_eq!(resolved(&resolver, "hooks.example").await, public);
        let refused = Err(Forbidden::NotPublic.to_string());
        assert_eq!(resolved(&resolver, "hooks.example").await, refused);
    }

    #[tokio::test]
    async fn s2_the_addresses_that_are_dialled_are_checked_but_for_the_operators_proxy() {
        let with = |proxy: Option<&str>| GuardedResolver {
            look_up,
            proxy: proxy.map(str::to_owned),
        };
        let refused = Err(Forbidden::NotPublic.to_string());
        assert_eq!(resolved(&with(None), "localhost").await, refused);
        assert_eq!(
            resolved(&with(Some("proxy.internal")), "localhost").await,
            refused
        );
        assert!(
            resolved(&with(Some("localhost")), "localhost")
                .await
                .is_ok()
        );
        // The same where a client dials.
        fn to_this_machine(_: String) -> LookingUp {
            Box::pin(async { Ok(vec![([127, 0, 0, 1], 0).into()]) })
        }
        let server = FakeServer::start(|_| json("200 OK", "{}"));
        let resolver = GuardedResolver {
            look_up: to_this_machine,
            proxy: None,
        };
        let builder = Outgoing::default().builder().dns_resolver(resolver);
        let port = server.url("/").port().unwrap();
        let request = builder
            .build()
            .unwrap()
            .get(format!("http://hooks.example:{port}/"));
        let error = request.send().await.expect_err("it is not dialled");
        assert!(server.requests().is_empty());
        let said = super::super::describe(error);
        assert!(said.contains(&Forbidden::NotPublic.to_string()), "{said}");
    }
}
