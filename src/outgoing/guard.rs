//! Calls of addresses that somebody else than the operator named ([`called_address`](crate::domain::called_address)).
//!
//! The check is made for each connection, on the addresses that a name resolves to, not on the name beforehand.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder};
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
        let resolver = GuardedResolver { proxy };
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

/// Resolves names with the system's resolver and keeps the public addresses.
struct GuardedResolver {
    /// The host of the operator's proxy, which may be anywhere.
    proxy: Option<String>,
}

impl Resolve for GuardedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let is_proxy = self.proxy.as_deref() == Some(name.as_str());
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            if is_proxy {
                return Ok(Box::new(found.collect::<Vec<_>>().into_iter()) as Addrs);
            }
            let public = public_only(found)?;
            Ok(Box::new(public.into_iter()) as Addrs)
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
    let found = tokio::time::timeout(TIME, tokio::net::lookup_host((name, 0))).await;
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
}
