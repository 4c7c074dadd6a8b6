//! A server that is away, in every way there is: callers are told so in time, and it is found again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::*;
use crate::store::StoreError;

/// How long a sound server may stay unnoticed; the longest pause is a second.
const SOON: Duration = Duration::from_secs(10);

/// What stands between the store and its server, and what it does to them.
struct Between {
    port: u16,
    manner: watch::Sender<Manner>,
    connections: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, PartialEq)]
enum Manner {
    /// Passes everything on.
    Honest,
    /// Passes on the first answer but for its last bytes, and hangs up.
    CutsAnswers,
    /// Says this, and hangs up.
    Says(&'static str),
    /// Takes connections and never answers.
    Mute,
}

impl Between {
    async fn start(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let manner = watch::Sender::new(Manner::Honest);
        let connections = Arc::new(AtomicUsize::new(0));
        let (shared, counter, behind) = (manner.clone(), connections.clone(), server.port());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, behind, shared.subscribe()));
            }
        });
        Self {
            port,
            manner,
            connections,
        }
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Becomes so for every connection to come, and ends those there are.
    fn switch_to(&self, manner: Manner) {
        self.manner.send_replace(manner);
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut client: TcpStream, behind: u16, mut manner: watch::Receiver<Manner>) {
    let now = *manner.borrow_and_update();
    let ended = manner.changed();
    let served = async {
        match now {
            Manner::Honest => {
                let mut server = TcpStream::connect(("127.0.0.1", behind)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await?;
            }
            Manner::CutsAnswers => {
                let mut server = TcpStream::connect(("127.0.0.1", behind)).await?;
                let mut bytes = [0; 4096];
                let asked = client.read(&mut bytes).await?;
                server.write_all(&bytes[..asked]).await?;
                let answered = server.read(&mut bytes).await?;
                client
                    .write_all(&bytes[..answered.saturating_sub(3)])
                    .await?;
            }
            Manner::Says(line) => client.write_all(line.as_bytes()).await?,
            Manner::Mute => std::future::pending().await,
        }
        Ok::<_, std::io::Error>(())
    };
    tokio::select! {
        // A connection that ends is what is meant.
        _ = served => {}
        _ = ended => {}
    }
}

/// Waits until the store serves again.
async fn is_found_again(store: &Store, new: &NewMember) {
    let begun = std::time::Instant::now();
    loop {
        match store.member(new.member.user, new.member.guid).await {
            Ok(member) => {
                assert_eq!(member, Some(new.member.clone()));
                return;
            }
            Err(StoreError::Unavailable(_)) => {}
            Err(other) => panic!("{other}"),
        }
        assert!(begun.elapsed() < SOON, "not found again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Asks until it is told that the server is away, and nothing else.
async fn is_away(store: &Store, new: &NewMember) {
    let begun = std::time::Instant::now();
    loop {
        match store.member(new.member.user, new.member.guid).await {
            Ok(_) => {}
            Err(StoreError::Unavailable(_)) => return,
            Err(other) => panic!("{other}"),
        }
        assert!(begun.elapsed() < SOON, "not noticed");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_server_that_goes_away_is_told_at_once_and_found_again() {
    let mut server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    server.kill();
    for _ in 0..3 {
        let begun = std::time::Instant::now();
        is_away(&store, &new).await;
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
    server.restart().await;
    let found = store.member(new.member.user, new.member.guid).await;
    let found = found.expect("by the first who asks");
    assert_eq!(found, Some(new.member.clone()));
    open_first(&store, &new, at(10)).await;
}

#[tokio::test]
async fn whatever_an_attempt_to_reconnect_meets_it_is_repeated() {
    let server = Server::start().await;
    let between = Between::start(&server).await;
    let (store, _) = RedisStore::open(&address(&between.url()), "test:", settings())
        .await
        .expect("a sound server");
    let store = Store::from(store);
    let new = keep_member(&store).await;
    for manner in [
        Manner::CutsAnswers,
        Manner::Says("-ERR max number of clients reached\r\n"),
        Manner::Says("-LOADING Redis is loading the dataset in memory\r\n"),
        Manner::Says("-WRONGPASS invalid username-password pair\r\n"),
        Manner::Says("-NOAUTH Authentication required.\r\n"),
        Manner::Says("HTTP/1.1 400 Bad Request\r\n\r\n"),
        Manner::Says(""),
        Manner::Mute,
    ] {
        let before = between.connections();
        between.switch_to(manner);
        while between.connections() < before + 3 {
            is_away(&store, &new).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        between.switch_to(Manner::Honest);
        is_found_again(&store, &new).await;
    }
}

#[tokio::test]
async fn a_login_or_a_permission_that_ends_is_away_until_it_is_given_again() {
    let server = Server::start().await;
    let acl = async |words: &[&str]| {
        let all = [&["ACL", "SETUSER", "g"], words].concat();
        server.query::<()>(&all).await;
    };
    acl(&["on", ">first", "~test:*", "+@all"]).await;
    let url = format!("redis://g:first@127.0.0.1:{}/", server.port());
    let (store, _) = RedisStore::open(&address(&url), "test:", settings())
        .await
        .expect("a sound server");
    let store = Store::from(store);
    let new = keep_member(&store).await;

    acl(&["resetpass", ">second"]).await;
    let _: i64 = server.query(&["CLIENT", "KILL", "USER", "g"]).await;
    for _ in 0..5 {
        is_away(&store, &new).await;
    }
    acl(&["resetpass", ">first"]).await;
    is_found_again(&store, &new).await;

    acl(&["-mget"]).await;
    is_away(&store, &new).await;
    acl(&["+mget"]).await;
    is_found_again(&store, &new).await;
}

#[tokio::test]
async fn a_server_that_takes_no_writes_is_away_for_those_who_write() {
    let server = Server::start().await;
    let store = open(&server).await;
    let new = keep_member(&store).await;
    for (sick, sound) in [
        (["REPLICAOF", "127.0.0.1", "1"], ["REPLICAOF", "NO", "ONE"]),
        (
            ["CONFIG SET", "maxmemory", "1"],
            ["CONFIG SET", "maxmemory", "0"],
        ),
        (
            ["CONFIG SET", "min-replicas-to-write", "1"],
            ["CONFIG SET", "min-replicas-to-write", "0"],
        ),
    ] {
        let tell = async |words: [&str; 3]| {
            let words: Vec<&str> = words.iter().flat_map(|word| word.split(' ')).collect();
            server.query::<()>(&words).await;
        };
        tell(sick).await;
        let refused = store.create_user(&new_user()).await;
        assert!(
            matches!(refused, Err(StoreError::Unavailable(_))),
            "{sick:?}: {refused:?}"
        );
        tell(sound).await;
        is_found_again(&store, &new).await;
        a_user(&store).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_the_first_callers_its_time_limit_and_the_others_nothing() {
    let server = Server::start().await;
    let store = Arc::new(open(&server).await);
    let new = keep_member(&store).await;
    server.signal("STOP");
    let begun = std::time::Instant::now();
    let callers: Vec<_> = (0..50)
        .map(|_| {
            let (store, user, member) = (store.clone(), new.member.user, new.member.guid);
            tokio::spawn(async move { store.member(user, member).await.map(drop) })
        })
        .collect();
    for caller in callers {
        let told = caller.await.expect("no panic");
        assert!(matches!(told, Err(StoreError::Unavailable(_))), "{told:?}");
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "together, not in turn"
    );

    // One attempt to connect anew is waited for; from then on nobody waits.
    is_away(&store, &new).await;
    let begun = std::time::Instant::now();
    for _ in 0..100 {
        is_away(&store, &new).await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    server.signal("CONT");
    is_found_again(&store, &new).await;
}
