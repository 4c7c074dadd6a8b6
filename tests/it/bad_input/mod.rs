//! What goes wrong, and what a stranger is told about it.

mod bank;
mod requests;
mod store_down;
mod tenants;

use serde_json::Value;

/// The answer is that status and Nexus code, and its message has each of `words`.
fn assert_nexus((status, answer): (u16, Value), expected: (u16, &str), words: &[&str]) {
    let error = &answer["error"];
    let code = error["code"].as_str().unwrap_or_default();
    assert_eq!((status, code), expected, "{answer}");
    assert_message(error, words);
}

/// The answer is that status and Platform status word, and its message has each of `words`.
fn assert_platform((status, answer): (u16, Value), expected: (u16, &str), words: &[&str]) {
    let error = &answer["error"];
    let word = error["status"].as_str().unwrap_or_default();
    assert_eq!((status, word), expected, "{answer}");
    assert_eq!(error["type"], format!("{word}_error"), "{answer}");
    assert_message(error, words);
}

fn assert_message(error: &Value, words: &[&str]) {
    let message = error["message"].as_str().unwrap_or_default();
    for word in words {
        assert!(message.contains(word), "{word:?} is not in {message:?}");
    }
}
