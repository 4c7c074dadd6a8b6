//! The spawned Redis.

use redis::{AsyncCommands as _, RedisResult};

use crate::support::redis::Redis;

async fn connection(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).expect("a Redis address");
    client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection")
}

#[tokio::test]
async fn the_shared_server_answers_and_keeps_tests_apart() {
    let mut one = connection(&Redis::shared().fresh_database()).await;
    let mut other = connection(&Redis::shared().fresh_database()).await;
    let pong: String = redis::cmd("PING").query_async(&mut one).await.unwrap();
    assert_eq!(pong, "PONG");
    let (): () = one.set("whose", "mine").await.unwrap();
    let seen: Option<String> = other.get("whose").await.unwrap();
    assert_eq!(seen, None);
}

#[tokio::test]
async fn the_server_is_set_up_as_production_should_be() {
    let mut connection = connection(&Redis::shared().url()).await;
    for (name, expected) in [
        ("appendonly", "yes"),
        ("appendfsync", "always"),
        ("maxmemory-policy", "noeviction"),
    ] {
        let mut ask = redis::cmd("CONFIG");
        let response: RedisResult<(String, String)> =
            ask.arg("GET").arg(name).query_async(&mut connection).await;
        assert_eq!(response.unwrap(), (name.to_owned(), expected.to_owned()));
    }
}

#[tokio::test]
async fn what_was_written_survives_a_kill() {
    let mut server = Redis::start();
    let mut before = connection(&server.url()).await;
    let (): () = before.set("kept", 1).await.unwrap();
    server.kill9();
    let lost: RedisResult<i32> = before.get("kept").await;
    lost.expect_err("nobody is there");
    server.restart();
    let kept: i32 = connection(&server.url()).await.get("kept").await.unwrap();
    assert_eq!(kept, 1);
}
