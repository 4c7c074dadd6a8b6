//! What is sealed: found wherever it is, and replaced only while it is still there.

use std::collections::{BTreeMap, BTreeSet};

use guichet::domain::window::Ending;
use guichet::store::{Failure, Found, GiveBack, IdempotentRequest, StoreError};

use super::Bench;
use super::fixtures::{at, client, institution};

on_each_store!(
    every_record_with_an_envelope_is_found_wherever_it_is,
    an_envelope_that_was_replaced_meanwhile_stays,
    what_cannot_be_read_is_found_and_stops_nobody,
    of_two_keys_under_one_id_the_first_is_known,
);

impl Bench {
    /// Everything that may hold an envelope.
    async fn sealed(&self) -> Vec<Found> {
        let mut all = Vec::new();
        let see = async |batch: Vec<Found>| {
            // A server may give a few more than it is asked for.
            assert!((1..=1000).contains(&batch.len()), "{}", batch.len());
            all.extend(batch);
            Ok(())
        };
        self.store.each_sealed(see).await.expect("answered");
        all
    }

    /// Owes the revocation of a token set in the partition of a new user.
    async fn owe(&self) -> GiveBack {
        let user = self.a_user();
        let owed = GiveBack {
            member: self.a_member(&user).guid,
            client: client(),
            institution: institution(),
            generation: 7,
            sealed: vec![self.an_envelope(), self.an_envelope()],
        };
        let kept = self.store.owe_revocation(&owed, at(0)).await;
        kept.expect("answered");
        owed
    }
}

/// The envelopes in a record.
fn envelopes(found: &Found) -> Vec<Vec<u8>> {
    let mut record = found.record.clone().expect("it can be read");
    let envelopes = record.envelopes().into_iter();
    envelopes
        .map(|(_, envelope)| envelope.clone().into())
        .collect()
}

async fn every_record_with_an_envelope_is_found_wherever_it_is(bench: Bench) {
    let mut expected: BTreeMap<char, BTreeSet<Vec<u8>>> = BTreeMap::new();
    let mut expect = |kind, envelope| expected.entry(kind).or_default().insert(envelope);
    // More than a batch, in all partitions.
    for _ in 0..600 {
        for envelope in bench.owe().await.sealed {
            expect('r', envelope);
        }
    }
    let visited = bench.visited().await;
    expect('w', visited.attempt.sealed.clone());
    let report = bench.a_report();
    expect('f', report.report.sealed.clone().into());
    let failure = Failure {
        report: Some(report),
        ..bench.a_failure(&bench.visited().await.linked, Ending::Failed)
    };
    let failed = bench.store.fail_window(&failure, at(1)).await;
    assert!(failed.expect("answered").is_some());
    let (_, connection, _) = bench.connected().await;
    expect('g', connection.tokens.sealed);
    let kept = bench.standard().await;
    let credentials = kept.new.sealed_credentials.clone();
    expect('g', credentials.expect("there are some"));
    let (held, handle) = (bench.an_envelope(), bench.a_digest());
    let store = &bench.store;
    let holding = store.hold_response(&visited.attempt.id, handle, &held, at(60), at(1));
    assert!(holding.await.expect("answered"));
    expect('h', held);
    let request = IdempotentRequest {
        client: client(),
        key: bench.a_digest(),
        holder: bench.a_digest(),
        request: bench.a_digest(),
        held_until: at(5),
        expires_at: at(60),
    };
    let begun = store.begin_idempotent(&request, at(0)).await;
    begun.expect("answered");
    let response = bench.an_envelope();
    let finished = store.finish_idempotent(&request, &response, at(1)).await;
    finished.expect("answered");
    expect('i', response);

    let mut found: BTreeMap<char, BTreeSet<Vec<u8>>> = BTreeMap::new();
    for record in bench.sealed().await {
        for envelope in envelopes(&record) {
            found.entry(record.key.kind()).or_default().insert(envelope);
        }
    }
    assert!(
        found == expected,
        "{:?} {:?}",
        found.keys(),
        expected.keys()
    );
}

async fn an_envelope_that_was_replaced_meanwhile_stays(bench: Bench) {
    bench.owe().await;
    let found = bench.sealed().await.remove(0);
    let before = envelopes(&found);
    let [first, second, third] = [(); 3].map(|()| bench.an_envelope());
    let replace = async |old: &Vec<u8>, new: &Vec<u8>| {
        let envelopes = vec![(old.clone(), new.clone())];
        let replaced = bench.store.reseal(&found, envelopes, at(1)).await;
        replaced.expect("answered")
    };
    assert!(replace(&before[0], &first).await);
    // What was read before that is not written any more; what became of the other one does not matter.
    assert!(!replace(&before[0], &second).await);
    assert!(replace(&before[1], &third).await);
    let now = bench.store.sealed_record(&found).await.expect("answered");
    assert_eq!(envelopes(&now.expect("it is there")), [first, third]);
}

async fn what_cannot_be_read_is_found_and_stops_nobody(bench: Bench) {
    bench.owe().await;
    let spoilt = bench.sealed().await.remove(0).key;
    bench.owe().await;
    bench.spoil(&spoilt);
    let found = bench.sealed().await;
    assert_eq!(found.len(), 2);
    for record in found {
        assert_eq!(record.record.is_none(), record.key == spoilt);
        let again = bench.store.sealed_record(&record).await.expect("answered");
        assert_eq!(again.expect("it is there").record, record.record);
    }
}

async fn of_two_keys_under_one_id_the_first_is_known(bench: Bench) {
    for round in 0..8 {
        let id = format!("key-{round}");
        let [one, other] = [(); 2].map(|()| bench.a_digest());
        let know = |key| bench.store.know_seal_keys(vec![(id.clone(), key)], at(0));
        let (first, second) = tokio::join!(know(one), know(other));
        let refused = match (first, second) {
            (Ok(()), Err(refused)) | (Err(refused), Ok(())) => refused,
            both => panic!("one of them: {both:?}"),
        };
        assert!(matches!(&refused, StoreError::Unfit(text) if text.contains(&id)));
        let known = bench.store.seal_keys().await.expect("read");
        assert!([one, other].contains(&known.keys[&id]));
        assert!(know(known.keys[&id]).await.is_ok());
    }
}
