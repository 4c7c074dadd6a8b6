//! Finding the addresses of a server's name.
//!
//! An answer may take long, and the system keeps a thread waiting for it. So a name is asked for once at a time, however
//! often it is tried to connect there. Otherwise these threads would run out, and nobody else's name would be found.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::RedisFuture;
use redis::io::AsyncDNSResolver;
use tokio::net::lookup_host;
use tokio::sync::watch;

/// What a look at a name found, or why it failed.
type Found = Result<Vec<IpAddr>, (io::ErrorKind, String)>;

/// Finds addresses. Clones share what is being asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Resolver(Arc<Mutex<HashMap<String, watch::Receiver<Option<Found>>>>>);

impl Resolver {
    async fn addresses<F>(
        &self,
        name: &str,
        look_up: impl FnOnce(String) -> F,
    ) -> io::Result<Vec<IpAddr>>
    where
        F: Future<Output = io::Result<Vec<IpAddr>>> + Send + 'static,
    {
        let mut answer = {
            let mut asked = self.asked();
            let known = asked.get(name).cloned();
            known.unwrap_or_else(|| {
                let (tell, answer) = watch::channel(None);
                asked.insert(name.to_owned(), answer.clone());
                let (all, name) = (self.clone(), name.to_owned());
                let looking = look_up(name.clone());
                tokio::spawn(async move {
                    let found = looking.await;
                    let found = found.map_err(|error| (error.kind(), error.to_string()));
                    all.asked().remove(&name);
                    tell.send_replace(Some(found));
                });
                answer
            })
        };
        match answer.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(Ok(addresses))) => Ok(addresses.clone()),
            Ok(Some(Err((kind, text)))) => Err(io::Error::new(*kind, text.clone())),
            Ok(None) | Err(_) => Err(io::ErrorKind::Interrupted.into()),
        }
    }

    fn asked(&self) -> MutexGuard<'_, HashMap<String, watch::Receiver<Option<Found>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn look_up(name: String) -> io::Result<Vec<IpAddr>> {
    let found = lookup_host((name, 0)).await?;
    Ok(found.map(|address| address.ip()).collect())
}

impl AsyncDNSResolver for Resolver {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        host: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let found = match host.parse::<IpAddr>() {
                Ok(address) => vec![address],
                Err(_) => self.addresses(host, look_up).await?,
            };
            let addresses = found.into_iter();
            let addresses = addresses.map(move |address| SocketAddr::new(address, port));
            Ok(Box::new(addresses) as Box<dyn Iterator<Item = SocketAddr> + Send + 'a>)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_name_is_asked_for_once_at_a_time_however_many_want_it() {
        let (resolver, asked) = (Resolver::default(), Arc::new(AtomicUsize::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let ask = || {
            let (resolver, asked, gate) = (resolver.clone(), asked.clone(), gate.clone());
            async move {
                let slow = |_| async move {
                    asked.fetch_add(1, Ordering::SeqCst);
                    drop(gate.acquire().await);
                    Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)])
                };
                resolver.addresses("slow", slow).await
            }
        };
        // One that gives up does not make the next one ask again.
        let mut first = tokio::spawn(ask());
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        first.abort();
        assert!((&mut first).await.is_err(), "it gave up");
        let others = [tokio::spawn(ask()), tokio::spawn(ask())];
        tokio::task::yield_now().await;
        gate.add_permits(1);
        for other in others {
            let found = other.await.expect("no panic").expect("an address");
            assert_eq!(found.len(), 1);
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(resolver.asked().is_empty(), "the next one asks anew");
    }
}
