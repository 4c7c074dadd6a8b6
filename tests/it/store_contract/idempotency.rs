//! Requests that may come twice.

use std::sync::Arc;

use guichet::domain::secret::Digest;
use guichet::store::{Idempotence, IdempotentRequest};
use tokio::task::JoinSet;

use super::Bench;
use super::fixtures::{at, before, client};

on_each_store!(
    a_request_is_done_once,
    another_request_with_the_key_differs,
    a_key_that_was_given_back_is_free,
    a_key_is_held_for_a_while_only,
    a_response_is_kept_for_a_while_only,
    a_key_is_the_clients_own,
    of_many_requests_one_is_the_first,
    a_kept_response_survives_a_purge,
);

/// How long a fixture's request may be worked on, and its response kept, in seconds.
const HOLD: i64 = 5;
const KEPT: i64 = 24 * 60 * 60;

impl Bench {
    fn a_request(&self, key: Digest, second: i64) -> IdempotentRequest {
        IdempotentRequest {
            client: client(),
            key,
            holder: self.a_digest(),
            request: Digest::of("request", "POST /members"),
            held_until: at(second + HOLD),
            expires_at: at(second + KEPT),
        }
    }

    async fn begin(&self, request: &IdempotentRequest, second: i64) -> Idempotence {
        let met = self.store.begin_idempotent(request, at(second)).await;
        met.expect("answered")
    }

    async fn finish(&self, request: &IdempotentRequest, answer: &[u8], second: i64) {
        let finished = self
            .store
            .finish_idempotent(request, answer, at(second))
            .await;
        finished.expect("answered");
    }

    async fn release(&self, request: &IdempotentRequest) {
        let released = self.store.release_idempotent(request, at(9)).await;
        released.expect("answered");
    }
}

async fn a_request_is_done_once(bench: Bench) {
    let request = bench.a_request(bench.a_digest(), 0);
    assert_eq!(bench.begin(&request, 0).await, Idempotence::First);
    let again = bench.a_request(request.key, 1);
    assert_eq!(bench.begin(&again, 1).await, Idempotence::UnderWay);
    let answer = bench.an_envelope();
    for _repeated in 0..2 {
        bench.finish(&request, &answer, 2).await;
    }
    for second in [3, 2 * HOLD, KEPT - 1] {
        let again = bench.a_request(request.key, second);
        let met = bench.begin(&again, second).await;
        assert_eq!(met, Idempotence::Answered(answer.clone()));
    }
    bench.release(&request).await;
    let met = bench.begin(&request, 4).await;
    assert_eq!(met, Idempotence::Answered(answer), "too late to give back");
}

async fn another_request_with_the_key_differs(bench: Bench) {
    let request = bench.a_request(bench.a_digest(), 0);
    let other = IdempotentRequest {
        request: Digest::of("request", "POST /members, another body"),
        ..request.clone()
    };
    assert_eq!(bench.begin(&request, 0).await, Idempotence::First);
    assert_eq!(bench.begin(&other, 1).await, Idempotence::Differs);
    bench.release(&other).await;
    bench.finish(&other, b"other", 1).await;
    assert_eq!(bench.begin(&request, 2).await, Idempotence::UnderWay);
    bench.finish(&request, b"answer", 3).await;
    assert_eq!(bench.begin(&other, 4).await, Idempotence::Differs);
    let kept = Idempotence::Answered(b"answer".to_vec());
    assert_eq!(bench.begin(&request, 5).await, kept);
}

async fn a_key_that_was_given_back_is_free(bench: Bench) {
    let request = bench.a_request(bench.a_digest(), 0);
    assert_eq!(bench.begin(&request, 0).await, Idempotence::First);
    for _repeated in 0..2 {
        bench.release(&request).await;
    }
    let other = IdempotentRequest {
        request: Digest::of("request", "another"),
        ..bench.a_request(request.key, 1)
    };
    assert_eq!(bench.begin(&other, 1).await, Idempotence::First);
    bench.release(&request).await;
    assert_eq!(bench.begin(&other, 2).await, Idempotence::UnderWay);
}

async fn a_key_is_held_for_a_while_only(bench: Bench) {
    let first = bench.a_request(bench.a_digest(), 0);
    assert_eq!(bench.begin(&first, 0).await, Idempotence::First);
    let second = bench.a_request(first.key, HOLD);
    let met = bench
        .store
        .begin_idempotent(&second, before(first.held_until));
    assert_eq!(met.await.expect("answered"), Idempotence::UnderWay);
    assert_eq!(bench.begin(&second, HOLD).await, Idempotence::First);
    // Whoever had it first comes too late.
    bench.finish(&first, b"first", HOLD + 1).await;
    bench.release(&first).await;
    assert_eq!(bench.begin(&first, HOLD + 1).await, Idempotence::UnderWay);
    bench.finish(&second, b"second", HOLD + 2).await;
    let kept = Idempotence::Answered(b"second".to_vec());
    assert_eq!(bench.begin(&first, HOLD + 3).await, kept);
}

async fn a_response_is_kept_for_a_while_only(bench: Bench) {
    let request = bench.a_request(bench.a_digest(), 0);
    assert_eq!(bench.begin(&request, 0).await, Idempotence::First);
    bench.finish(&request, b"answer", 1).await;
    let later = IdempotentRequest {
        request: Digest::of("request", "another"),
        ..bench.a_request(request.key, KEPT)
    };
    let met = bench
        .store
        .begin_idempotent(&later, before(request.expires_at));
    assert_eq!(met.await.expect("answered"), Idempotence::Differs);
    assert_eq!(bench.begin(&later, KEPT).await, Idempotence::First);
}

async fn a_key_is_the_clients_own(bench: Bench) {
    let request = bench.a_request(bench.a_digest(), 0);
    let of_other = IdempotentRequest {
        client: "other".parse().expect("a client's name"),
        ..request.clone()
    };
    let other_key = bench.a_request(bench.a_digest(), 0);
    for request in [&request, &of_other, &other_key] {
        assert_eq!(bench.begin(request, 0).await, Idempotence::First);
    }
    bench.finish(&request, b"answer", 1).await;
    bench.release(&of_other).await;
    let kept = Idempotence::Answered(b"answer".to_vec());
    assert_eq!(bench.begin(&request, 2).await, kept);
    assert_eq!(bench.begin(&other_key, 2).await, Idempotence::UnderWay);
    assert_eq!(bench.begin(&of_other, 2).await, Idempotence::First);
}

async fn of_many_requests_one_is_the_first(bench: Bench) {
    let key = bench.a_digest();
    for round in 0..5 {
        let second = round * HOLD;
        let mut requests = JoinSet::new();
        for _ in 0..50 {
            let request = bench.a_request(key, second);
            let store = Arc::clone(&bench.store);
            requests.spawn(async move {
                let met = store.begin_idempotent(&request, at(second)).await;
                met.expect("answered")
            });
        }
        let met = requests.join_all().await;
        let count = |wanted| met.iter().filter(|met| **met == wanted).count();
        assert_eq!(count(Idempotence::First), 1, "round {round}");
        assert_eq!(count(Idempotence::UnderWay), 49, "round {round}");
    }
}

async fn a_kept_response_survives_a_purge(bench: Bench) {
    let answered = bench.a_request(bench.a_digest(), 0);
    let held = bench.a_request(bench.a_digest(), KEPT);
    assert_eq!(bench.begin(&answered, 0).await, Idempotence::First);
    bench.finish(&answered, b"answer", 1).await;
    assert_eq!(bench.begin(&held, KEPT - 1).await, Idempotence::First);
    bench.store.purge(before(at(KEPT))).await.expect("answered");
    let kept = Idempotence::Answered(b"answer".to_vec());
    assert_eq!(bench.begin(&answered, KEPT - 1).await, kept);
    assert_eq!(bench.begin(&held, KEPT - 1).await, Idempotence::UnderWay);
}
