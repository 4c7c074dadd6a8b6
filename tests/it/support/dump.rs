//! Everything a store holds, as bytes: what a thief of the disk or of a backup would see.

use redis::{AsyncCommands as _, Value};

use super::gateway::TestGateway;

/// The SQLite file with its log, or every key and value of the Redis database.
pub async fn everything(gateway: &TestGateway) -> Vec<u8> {
    match gateway.store.strip_prefix("sqlite:") {
        Some(file) => files(gateway, file),
        None => database(&gateway.store).await,
    }
}

fn files(gateway: &TestGateway, file: &str) -> Vec<u8> {
    let parts = ["", "-wal", "-shm", "-journal"].map(|end| format!("{file}{end}"));
    let read = |part: &String| std::fs::read(gateway.folder.path().join(part)).unwrap_or_default();
    parts.iter().flat_map(read).collect()
}

async fn database(url: &str) -> Vec<u8> {
    let client = redis::Client::open(url).expect("an address");
    let mut connection = client
        .get_multiplexed_async_connection()
        .await
        .expect("a connection");
    let keys: Vec<String> = connection.keys("*").await.expect("keys");
    let mut all = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE")
            .arg(&key)
            .query_async(&mut connection)
            .await
            .expect("a type");
        let mut read = match kind.as_str() {
            "string" => redis::cmd("GET"),
            "hash" => redis::cmd("HGETALL"),
            "zset" => redis::cmd("ZRANGE"),
            "set" => redis::cmd("SMEMBERS"),
            "list" => redis::cmd("LRANGE"),
            // Gone since it was listed.
            _ => continue,
        };
        read.arg(&key);
        if matches!(kind.as_str(), "zset" | "list") {
            read.arg(0).arg(-1);
        }
        let value: Value = read.query_async(&mut connection).await.expect("a value");
        all.extend_from_slice(key.as_bytes());
        all.push(b'\n');
        append(&mut all, &value);
    }
    all
}

fn append(all: &mut Vec<u8>, value: &Value) {
    match value {
        Value::BulkString(bytes) => all.extend_from_slice(bytes),
        Value::SimpleString(text) => all.extend_from_slice(text.as_bytes()),
        Value::Int(number) => all.extend_from_slice(number.to_string().as_bytes()),
        Value::Array(values) | Value::Set(values) => {
            values.iter().for_each(|value| append(all, value));
        }
        Value::Map(pairs) => {
            for (name, value) in pairs {
                append(all, name);
                append(all, value);
            }
        }
        other => panic!("a store holds no {other:?}"),
    }
    all.push(b'\n');
}
