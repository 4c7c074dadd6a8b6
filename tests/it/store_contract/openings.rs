//! Browsers that follow links.

use guichet::domain::id::AttemptId;
use guichet::domain::window::{
    Binding, CONTINUES, Ending, MULTI_OPENS, OpenPolicy, Window, WindowOptions, WindowStatus,
};
use guichet::store::{Claimed, Obtained, Opened, Opening, VisitKind};

use super::Bench;
use super::fixtures::{LEG, LINK, Linked, Visited, at, before, opened_by};

on_one_store!(
    the_first_navigation_claims_a_single_link,
    an_interstitial_link_asks_first,
    a_multi_link_opens_five_times,
    a_claim_sets_the_deadlines,
    continuing_replaces_the_attempt,
    looking_claims_nothing,
    continuing_under_multi_is_no_further_open,
    continuing_needs_the_newest_binding,
    a_window_is_continued_five_times_and_no_further,
    nobody_opens_while_the_code_is_exchanged,
    a_link_is_over_at_its_deadline,
    a_finished_link_knows_its_own_browser,
    another_members_link_is_unknown,
    an_opening_repeated_is_the_same_opening,
    what_was_obtained_is_kept_with_its_attempt_while_that_waits,
);

/// Sends `opening`; names what came of it.
async fn send(bench: &Bench, opening: &Opening, second: i64) -> &'static str {
    let opened = bench.store.open_window(opening, at(second)).await;
    match opened.expect("answered") {
        Opened::Claimed(_) => "claimed",
        Opened::AskFirst(_) => "ask first",
        Opened::Resumable(_) => "resumable",
        Opened::ClaimedElsewhere(_) => "taken",
        Opened::Authorized(_) => "authorized",
        Opened::Exhausted(_) => "exhausted",
        Opened::Finished { .. } => "over",
        Opened::Closed(_) => "closed",
        Opened::Unknown => "unknown",
    }
}

/// A browser that shows `browser` asks.
async fn open_as(
    bench: &Bench,
    linked: &Linked,
    kind: VisitKind,
    browser: &[Binding],
) -> &'static str {
    let opening = Opening {
        browser: browser.to_owned(),
        ..bench.an_opening(linked, kind, at(2))
    };
    send(bench, &opening, 2).await
}

/// What the browser claims by Continue.
async fn go_on(bench: &Bench, visited: &Visited, second: i64) -> Visited {
    let opening = Opening {
        browser: visited.browser(),
        ..bench.an_opening(&visited.linked, VisitKind::Continue, at(second))
    };
    assert_eq!(send(bench, &opening, second).await, "claimed");
    Visited {
        linked: visited.linked.clone(),
        attempt: opening.attempt,
    }
}

async fn the_first_navigation_claims_a_single_link(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let opening = bench.an_opening(&linked, VisitKind::Navigate, at(1));
    let opened = bench.store.open_window(&opening, at(1)).await;
    let Opened::Claimed(subject) = opened.expect("answered") else {
        panic!("the first navigation claims");
    };
    assert_eq!(
        subject.member, linked.member,
        "an opening is no change of the member"
    );
    assert_eq!(subject.window.status, WindowStatus::Opened);

    let own = [opening.attempt.binding.clone()];
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &[]).await,
        "taken"
    );
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Begin, &[]).await,
        "taken"
    );
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &own).await,
        "resumable"
    );
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Begin, &own).await,
        "resumable"
    );
    let visited = Visited {
        linked,
        attempt: opening.attempt,
    };
    assert_eq!(
        bench.window_now(&visited).await,
        subject.window,
        "nothing changed since"
    );
    assert_eq!(bench.told(at(9)).await, [], "nobody is told of openings");
}

async fn an_interstitial_link_asks_first(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Interstitial)).await;
    for _scanner in 0..3 {
        assert_eq!(
            open_as(&bench, &linked, VisitKind::Navigate, &[]).await,
            "ask first"
        );
    }
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Continue, &[]).await,
        "taken",
        "nobody began it"
    );
    let opening = bench.an_opening(&linked, VisitKind::Begin, at(2));
    assert_eq!(send(&bench, &opening, 2).await, "claimed");
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Begin, &[]).await,
        "taken"
    );
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &[]).await,
        "taken"
    );
    let own = [opening.attempt.binding];
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &own).await,
        "resumable"
    );
}

async fn a_multi_link_opens_five_times(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let mut last = Vec::new();
    for open in 0..MULTI_OPENS {
        let opening = bench.an_opening(&linked, VisitKind::Navigate, at(2));
        assert_eq!(send(&bench, &opening, 2).await, "claimed", "open {open}");
        last = vec![opening.attempt.binding];
    }
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &[]).await,
        "taken"
    );
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &last).await,
        "resumable"
    );
}

async fn a_claim_sets_the_deadlines(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let first = bench.visit(linked.clone(), at(5)).await;
    let window = bench.window_now(&first).await;
    assert_eq!(window.deadline, at(5 + LEG));
    assert_eq!(window.retry_until, Some(at(5 + LEG)));
    assert_eq!((window.created_at, window.updated_at), (at(0), at(5)));

    let second = bench.visit(linked, at(50)).await;
    let window = bench.window_now(&second).await;
    assert_eq!(window.deadline, at(50 + LEG));
    assert_eq!(
        window.retry_until,
        Some(at(5 + LEG)),
        "counts from the first opening"
    );
}

async fn continuing_replaces_the_attempt(bench: Bench) {
    let visited = bench.visited().await;
    let window = bench.window_now(&visited).await;
    let continued = go_on(&bench, &visited, 100).await;
    let expected = Window {
        updated_at: at(100),
        ..window
    };
    assert_eq!(
        bench.window_now(&continued).await,
        expected,
        "the deadline stays"
    );

    let late = bench
        .store
        .claim_callback(&bench.a_claim(&visited), at(101))
        .await;
    assert_eq!(
        late.expect("answered"),
        Claimed::Settled,
        "the first attempt is replaced"
    );
    bench.come_back(&continued, at(102)).await;
}

async fn continuing_under_multi_is_no_further_open(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let mut visited = bench.visit(linked.clone(), at(1)).await;
    for open in 1..MULTI_OPENS {
        visited = go_on(&bench, &visited, 2).await;
        let opening = bench.an_opening(&linked, VisitKind::Navigate, at(4));
        assert_eq!(send(&bench, &opening, 4).await, "claimed", "open {open}");
        visited.attempt = opening.attempt;
    }
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &[]).await,
        "taken"
    );
    go_on(&bench, &visited, 5).await;
}

async fn a_window_is_continued_five_times_and_no_further(bench: Bench) {
    for policy in [
        OpenPolicy::Single,
        OpenPolicy::Interstitial,
        OpenPolicy::Multi,
    ] {
        let linked = bench.linked(opened_by(policy)).await;
        let mut visited = bench.visit(linked.clone(), at(1)).await;
        for _ in 0..CONTINUES {
            visited = go_on(&bench, &visited, 2).await;
        }
        let last = visited.browser();
        for _ in 0..3 {
            assert_eq!(
                open_as(&bench, &linked, VisitKind::Continue, &last).await,
                "exhausted"
            );
        }
        // The newest attempt is as good as it was.
        bench.come_back(&visited, at(3)).await;
    }
}

async fn continuing_needs_the_newest_binding(bench: Bench) {
    let unopened = bench.linked(WindowOptions::default()).await;
    assert_eq!(
        open_as(&bench, &unopened, VisitKind::Continue, &[]).await,
        "taken"
    );

    let visited = bench.visited().await;
    let linked = &visited.linked;
    let own = &visited.attempt.binding;
    let wrong_digest = Binding {
        digest: bench.a_digest(),
        ..own.clone()
    };
    let wrong_attempt = Binding {
        attempt: bench.an_attempt(own.attempt.partition(), at(900)).id,
        ..own.clone()
    };
    for browser in [vec![], vec![wrong_digest], vec![wrong_attempt]] {
        assert_eq!(
            open_as(&bench, linked, VisitKind::Continue, &browser).await,
            "taken"
        );
    }
    let continued = go_on(&bench, &visited, 3).await;
    assert_eq!(
        open_as(&bench, linked, VisitKind::Continue, &visited.browser()).await,
        "taken"
    );
    // A browser shows the bindings of other links, too.
    let stranger = bench.visited().await;
    let browser = [stranger.browser(), visited.browser(), continued.browser()].concat();
    assert_eq!(
        open_as(&bench, linked, VisitKind::Continue, &browser).await,
        "claimed"
    );
}

async fn nobody_opens_while_the_code_is_exchanged(bench: Bench) {
    for policy in [
        OpenPolicy::Single,
        OpenPolicy::Interstitial,
        OpenPolicy::Multi,
    ] {
        let linked = bench.linked(opened_by(policy)).await;
        let visited = bench.visit(linked, at(1)).await;
        bench.come_back(&visited, at(2)).await;
        let returned = bench.window_now(&visited).await;
        assert_eq!(returned.status, WindowStatus::Returned);
        for way in [VisitKind::Navigate, VisitKind::Begin, VisitKind::Continue] {
            let own = visited.browser();
            assert_eq!(
                open_as(&bench, &visited.linked, way, &own).await,
                "resumable"
            );
            assert_eq!(open_as(&bench, &visited.linked, way, &[]).await, "taken");
        }
        assert_eq!(bench.window_now(&visited).await, returned);
    }
}

async fn a_link_is_over_at_its_deadline(bench: Bench) {
    for policy in [
        OpenPolicy::Single,
        OpenPolicy::Interstitial,
        OpenPolicy::Multi,
    ] {
        let linked = bench.linked(opened_by(policy)).await;
        let opening = bench.an_opening(&linked, VisitKind::Begin, at(LINK));
        assert_eq!(send(&bench, &opening, LINK).await, "over");
        let opened = bench.store.open_window(&opening, before(at(LINK))).await;
        let opened = opened.expect("answered");
        assert!(matches!(opened, Opened::Claimed(_)), "{opened:?}");
        let late = Opening {
            browser: vec![opening.attempt.binding.clone()],
            ..bench.an_opening(&linked, VisitKind::Continue, at(LINK + LEG))
        };
        let opened = bench
            .store
            .open_window(&late, opening.attempt.deadline)
            .await;
        let Opened::Finished {
            window,
            member,
            own_attempt,
        } = opened.expect("answered")
        else {
            panic!("over at the deadline");
        };
        assert_eq!(
            window.status,
            WindowStatus::Opened,
            "nobody has noticed yet"
        );
        assert_eq!(member.as_deref(), Some(&linked.member));
        assert_eq!(own_attempt, Some(opening.attempt.id));
    }
}

/// Whose attempt a finished link shows to `browser`.
async fn own_attempt(bench: &Bench, linked: &Linked, browser: Vec<Binding>) -> Option<AttemptId> {
    let opening = Opening {
        browser,
        ..bench.an_opening(linked, VisitKind::Navigate, at(9))
    };
    match bench
        .store
        .open_window(&opening, at(9))
        .await
        .expect("answered")
    {
        Opened::Finished { own_attempt, .. } => own_attempt,
        other => panic!("it is over: {other:?}"),
    }
}

async fn a_finished_link_knows_its_own_browser(bench: Bench) {
    let linked = bench.linked(opened_by(OpenPolicy::Multi)).await;
    let first = bench.visit(linked.clone(), at(1)).await;
    let second = bench.visit(linked.clone(), at(2)).await;
    let third = go_on(&bench, &second, 3).await;
    let failure = bench.a_failure(&linked, Ending::Failed);
    let failed = bench.store.fail_window(&failure, at(4)).await;
    failed.expect("answered").expect("it was unfinished");

    let of = async |browser| own_attempt(&bench, &linked, browser).await;
    assert_eq!(of(first.browser()).await, Some(first.attempt.id.clone()));
    assert_eq!(of(second.browser()).await, Some(second.attempt.id.clone()));
    let both = [first.browser(), second.browser(), third.browser()].concat();
    assert_eq!(
        of(both).await,
        Some(third.attempt.id),
        "the newest of its own"
    );
    assert_eq!(of(vec![]).await, None);
}

async fn another_members_link_is_unknown(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let other = bench
        .linked_for(linked.user.clone(), WindowOptions::default())
        .await;
    let mixed = Linked {
        member: other.member,
        ..linked.clone()
    };
    assert_eq!(
        open_as(&bench, &mixed, VisitKind::Navigate, &[]).await,
        "unknown"
    );
    let nothing = Linked {
        window: bench.a_window(linked.user.guid.partition(), at(LINK)).guid,
        ..linked.clone()
    };
    assert_eq!(
        open_as(&bench, &nothing, VisitKind::Navigate, &[]).await,
        "unknown"
    );
    assert_eq!(
        open_as(&bench, &linked, VisitKind::Navigate, &[]).await,
        "claimed",
        "untouched"
    );
}

async fn an_opening_repeated_is_the_same_opening(bench: Bench) {
    let linked = bench.linked(WindowOptions::default()).await;
    let opening = bench.an_opening(&linked, VisitKind::Navigate, at(1));
    let send = async || {
        bench
            .store
            .open_window(&opening, at(1))
            .await
            .expect("answered")
    };
    let first = send().await;
    assert!(matches!(first, Opened::Claimed(_)), "{first:?}");
    assert_eq!(send().await, first);
    let visited = Visited {
        linked,
        attempt: opening.attempt,
    };
    bench.come_back(&visited, at(2)).await;
}

async fn looking_claims_nothing(bench: Bench) {
    for (policy, expected, claims) in [
        (OpenPolicy::Single, "taken", VisitKind::Navigate),
        (OpenPolicy::Multi, "taken", VisitKind::Navigate),
        (OpenPolicy::Interstitial, "ask first", VisitKind::Begin),
    ] {
        let options = WindowOptions {
            open_policy: policy,
            ..WindowOptions::default()
        };
        let linked = bench.linked(options).await;
        for _ in 0..7 {
            assert_eq!(
                open_as(&bench, &linked, VisitKind::Look, &[]).await,
                expected
            );
        }
        assert_eq!(open_as(&bench, &linked, claims, &[]).await, "claimed");
        assert_eq!(
            open_as(&bench, &linked, VisitKind::Look, &[]).await,
            "taken"
        );
    }
    let visited = bench.visited().await;
    let looked = open_as(&bench, &visited.linked, VisitKind::Look, &visited.browser()).await;
    assert_eq!(looked, "resumable");
    let record = bench.store.attempt(&visited.attempt.id).await;
    let record = record.expect("answered").expect("it is there");
    assert!(!record.is_replaced && record.is_unanswered());
    let continued = go_on(&bench, &visited, 3).await;
    for (attempt, is_replaced) in [(&visited.attempt, true), (&continued.attempt, false)] {
        let record = bench.store.attempt(&attempt.id).await;
        let record = record.expect("answered").expect("it is there");
        assert_eq!(record.is_replaced, is_replaced);
        assert_eq!(record.is_unanswered(), !is_replaced);
    }
}

async fn what_was_obtained_is_kept_with_its_attempt_while_that_waits(bench: Bench) {
    let visited = bench.visited().await;
    let obtained = |attempt: &AttemptId| Obtained {
        window: visited.linked.window,
        attempt: attempt.clone(),
        sealed: bench.an_envelope(),
    };
    let keep = async |obtained: &Obtained, second: i64| {
        let kept = bench.store.keep_obtained(obtained, at(second)).await;
        kept.expect("answered")
    };
    let own = obtained(&visited.attempt.id);
    assert!(keep(&own, 2).await);
    assert!(keep(&own, 2).await, "repeated");
    let partition = visited.linked.user.guid.partition();
    let other = bench.an_attempt(partition, at(LEG));
    assert!(
        !keep(&obtained(&other.id), 2).await,
        "no attempt of this window"
    );

    let continued = go_on(&bench, &visited, 3).await;
    assert!(!keep(&own, 4).await, "it was replaced");
    let newest = obtained(&continued.attempt.id);
    assert!(keep(&newest, 4).await);
    let claimed = bench
        .store
        .claim_callback(&bench.a_claim(&continued), at(5))
        .await;
    let Claimed::Accepted { sealed, .. } = claimed.expect("answered") else {
        panic!("the response is its own");
    };
    assert_eq!(sealed, newest.sealed);
    assert!(!keep(&newest, 6).await, "it waits no more");
}
