//! What goes wrong, and what a stranger is told about it.

mod bank;
mod requests;
mod store_down;
mod tenants;

use serde_json::Value;

/// The response has that status and Nexus code, and its message has each of `words`.
fn assert_nexus((status, response): (u16, Value), expected: (u16, &str), words: &[&str]) {
    let error = &response["error"];
    let code = error["code"].as_str().unwrap_or_default();
    assert_eq!((status, code), expected, "{response}");
    assert_message(error, words);
}

/// The response has that status and Platform status word, and its message has each of `words`.
fn assert_platform((status, response): (u16, Value), expected: (u16, &str), words: &[&str]) {
    let error = &response["error"];
    let word = error["status"].as_str().unwrap_or_default();
    assert_eq!((status, word), expected, "{response}");
    assert_eq!(error["type"], format!("{word}_error"), "{response}");
    assert_message(error, words);
}

fn assert_message(error: &Value, words: &[&str]) {
    let message = error["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}
