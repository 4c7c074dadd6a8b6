//! A line between a gateway and its Redis that can be made slow.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// The line. What is under way when it becomes slow or fast again arrives in order.
pub struct Line {
    address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
}

impl Line {
    /// A line to that port of this machine, as fast as any.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let delay_ms = Arc::new(AtomicU64::new(0));
        let delay = delay_ms.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else {
                    continue;
                };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(pass(from_client, to_server, delay.clone()));
                tokio::spawn(pass(from_server, to_client, Arc::default()));
            }
        });
        Self { address, delay_ms }
    }

    /// Its near end, as a store's address.
    pub fn url(&self) -> String {
        format!("redis://{}/", self.address)
    }

    /// From now on everything asked arrives so much later.
    pub fn slow_by(&self, delay: Duration) {
        let delay = u64::try_from(delay.as_millis()).expect("a short while");
        self.delay_ms.store(delay, Ordering::Relaxed);
    }
}

async fn pass(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    delay_ms: Arc<AtomicU64>,
) {
    let (sender, mut waiting) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = waiting.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut bytes = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        let delay = Duration::from_millis(delay_ms.load(Ordering::Relaxed));
        if sender
            .send((Instant::now() + delay, bytes[..count].to_vec()))
            .is_err()
        {
            return;
        }
    }
}
