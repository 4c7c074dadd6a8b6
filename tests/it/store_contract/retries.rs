//! "Try again".

use guichet::domain::connection_values::ConnectionValues;
use guichet::domain::return_address::ReturnTo;
use guichet::domain::window::{
    Ending, OpenPolicy, RETRIES, RETRY_GRACE, ReferralSource, Window, WindowOptions, WindowStatus,
};
use guichet::store::{Claimed, Retried, Retry, Subject};

use super::Bench;
use super::fixtures::{LEG, LINK, Visited, at, before, opened_by};

on_one_store!(
    a_retry_is_a_new_window_in_the_same_browser,
    three_retries_follow_one_link,
    a_retry_comes_before_the_first_deadline,
    a_newer_link_ends_the_retries,
    only_the_browser_that_failed_may_retry,
    what_did_not_fail_is_not_retried,
    what_ran_out_is_retried_for_a_while_only,
    a_retry_repeated_is_the_same_retry,
);

impl Bench {
    fn a_retry(&self, failed: &Visited, second: i64) -> Retry {
        let partition = failed.linked.user.guid.partition();
        Retry {
            failed: failed.attempt.id.clone(),
            browser: failed.browser(),
            window: self.a_window(partition, at(second + LINK)),
            attempt: self.an_attempt(partition, at(second + LEG)),
        }
    }

    async fn retry(&self, retry: &Retry, second: i64) -> Retried {
        let retried = self.store.retry_window(retry, at(second)).await;
        retried.expect("answered")
    }

    /// The retry of `failed` at `second`, and its visit.
    async fn retried(&self, failed: &Visited, second: i64) -> (Visited, Subject) {
        let retry = self.a_retry(failed, second);
        let mut linked = failed.linked.clone();
        linked.window = retry.window.guid;
        let attempt = retry.attempt.clone();
        match self.retry(&retry, second).await {
            Retried::Claimed(subject) => (Visited { linked, attempt }, *subject),
            other => panic!("it may be retried: {other:?}"),
        }
    }

    async fn fail(&self, visited: &Visited, ending: Ending, second: i64) {
        let failure = self.a_failure(&visited.linked, ending);
        let failed = self.store.fail_window(&failure, at(second)).await;
        failed.expect("answered").expect("it was unfinished");
    }
}

async fn a_retry_is_a_new_window_in_the_same_browser(bench: Bench) {
    let options = WindowOptions {
        referral_source: ReferralSource::App,
        return_to: ReturnTo::Address("https://app.example/back?a=1".to_owned()),
        skip_aggregation: Some(true),
        enable_app2app: true,
        open_policy: OpenPolicy::Multi,
        ui_locales: Some("fr-CA en".to_owned()),
        authorization_minutes: Some(20),
        oauth_values: ConnectionValues::of([("branch".to_owned(), "42".to_owned())]),
    };
    let failed = bench.failed(options.clone()).await;
    let first = bench.window_now(&failed).await;
    assert_eq!(first.options, options);
    bench.told(at(9)).await;
    let (visited, subject) = bench.retried(&failed, 10).await;
    let expected = Window {
        guid: visited.linked.window,
        options,
        status: WindowStatus::Opened,
        created_at: at(10),
        updated_at: at(10),
        deadline: at(10 + LEG),
        retries: 1,
        detail: None,
        retry_until: first.retry_until,
        previous: Some(first.guid),
        ..first.clone()
    };
    assert_eq!(subject.window, expected);
    assert_eq!(subject.member.latest_window, Some(expected.guid));
    assert_eq!(subject.member.revision, failed.linked.member.revision + 1);
    assert_eq!(bench.window_now(&visited).await, expected);
    assert_eq!(
        bench.member_now(&visited.linked).await,
        Some(subject.member)
    );
    assert_eq!(
        bench.window_now(&failed).await,
        first,
        "the old one stays errored"
    );
    assert_eq!(bench.told(at(10)).await, []);
    bench.come_back(&visited, at(11)).await;
}

async fn three_retries_follow_one_link(bench: Bench) {
    let mut visited = bench.failed(WindowOptions::default()).await;
    for retry in 1..=RETRIES {
        let (next, subject) = bench.retried(&visited, 10).await;
        assert_eq!(subject.window.retries, retry);
        bench.fail(&next, Ending::Failed, 11).await;
        visited = next;
    }
    let once_more = bench.a_retry(&visited, 12);
    assert_eq!(bench.retry(&once_more, 12).await, Retried::NoRetriesLeft);
}

async fn a_retry_comes_before_the_first_deadline(bench: Bench) {
    let failed = bench.failed(WindowOptions::default()).await;
    let (second, _) = bench.retried(&failed, 500).await;
    bench.fail(&second, Ending::Failed, 501).await;
    // The first was opened at moment 1.
    let retry = bench.a_retry(&second, 1 + LEG);
    assert_eq!(bench.retry(&retry, 1 + LEG).await, Retried::NoRetriesLeft);
    let retried = bench.store.retry_window(&retry, before(at(1 + LEG))).await;
    let retried = retried.expect("answered");
    assert!(matches!(retried, Retried::Claimed(_)), "{retried:?}");
}

async fn a_newer_link_ends_the_retries(bench: Bench) {
    let failed = bench.failed(WindowOptions::default()).await;
    let (second, _) = bench.retried(&failed, 5).await;
    let retry = bench.a_retry(&failed, 6);
    assert_eq!(
        bench.retry(&retry, 6).await,
        Retried::NoRetriesLeft,
        "it was retried already"
    );
    bench.fail(&second, Ending::Failed, 7).await;
    let linked = &second.linked;
    let new = bench.a_window(linked.user.guid.partition(), at(LINK));
    let minted = bench
        .store
        .mint_window(linked.user.guid, linked.member.guid, &new, &[], at(8));
    minted
        .await
        .expect("answered")
        .expect("the member is there");
    let retry = bench.a_retry(&second, 9);
    assert_eq!(bench.retry(&retry, 9).await, Retried::NoRetriesLeft);
}

async fn only_the_browser_that_failed_may_retry(bench: Bench) {
    let failed = bench.failed(WindowOptions::default()).await;
    let other = bench.failed(WindowOptions::default()).await;
    let mut retry = bench.a_retry(&failed, 5);
    retry.browser = other.browser();
    assert_eq!(bench.retry(&retry, 5).await, Retried::Refused);
    retry.browser.clear();
    assert_eq!(bench.retry(&retry, 5).await, Retried::Refused);
    retry.browser = failed.browser();
    retry.failed = bench.an_attempt(failed.attempt.id.partition(), at(9)).id;
    assert_eq!(
        bench.retry(&retry, 5).await,
        Retried::Refused,
        "no such attempt"
    );
    let window = bench
        .store
        .window(failed.linked.user.guid, retry.window.guid, at(6))
        .await;
    assert_eq!(window.expect("answered"), None);
    bench.retried(&failed, 7).await;
}

async fn what_did_not_fail_is_not_retried(bench: Bench) {
    let opened = bench.visited().await;
    let returned = bench.returned().await;
    let (connected, _, _) = bench.connected().await;
    let burnt = bench.visited().await;
    let mut claim = bench.a_claim(&burnt);
    claim.browser.clear();
    let claimed = bench.store.claim_callback(&claim, at(2)).await;
    assert!(matches!(claimed.expect("answered"), Claimed::Burnt { .. }));
    for visited in [opened, returned, connected, burnt] {
        let member = bench.member_now(&visited.linked).await;
        let retry = bench.a_retry(&visited, 3);
        assert_eq!(bench.retry(&retry, 3).await, Retried::Refused);
        assert_eq!(bench.member_now(&visited.linked).await, member);
    }
    // Under `multi` several browsers may have failed with the same window.
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let one = bench.visit(linked.clone(), at(1)).await;
    let two = bench.visit(linked, at(1)).await;
    bench.fail(&two, Ending::Failed, 2).await;
    bench.retried(&one, 3).await;
}

async fn what_ran_out_is_retried_for_a_while_only(bench: Bench) {
    let late = bench.visited().await;
    let deadline = bench.window_now(&late).await.deadline.as_second() - at(0).as_second();
    bench.fail(&late, Ending::Expired, deadline).await;
    let end = deadline + i64::try_from(RETRY_GRACE.as_secs()).expect("a short while");
    let retry = bench.a_retry(&late, end);
    assert_eq!(bench.retry(&retry, end).await, Retried::NoRetriesLeft);
    let (visited, subject) = bench.retried(&late, end - 1).await;
    assert_eq!(subject.window.retry_until, Some(at(end - 1 + LEG)));
    assert_eq!(subject.window.retries, 1);
    // A failure of the new window is retried like any other.
    bench.fail(&visited, Ending::Failed, end).await;
    let (_, subject) = bench.retried(&visited, end + 1).await;
    assert_eq!(subject.window.retry_until, Some(at(end - 1 + LEG)));
    assert_eq!(subject.window.retries, 2);
}

async fn a_retry_repeated_is_the_same_retry(bench: Bench) {
    let failed = bench.failed(WindowOptions::default()).await;
    let retry = bench.a_retry(&failed, 5);
    let first = bench.retry(&retry, 5).await;
    assert!(matches!(first, Retried::Claimed(_)), "{first:?}");
    assert_eq!(
        bench.retry(&retry, 5).await,
        first,
        "its answer may have been lost"
    );
}
