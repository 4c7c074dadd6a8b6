//! Standard members, kept with what they sign in with; and jobs that somebody orders.

use std::sync::Arc;

use guichet::domain::data_request::{DataRequest, Product};
use guichet::domain::event::EventKind;
use guichet::domain::job::{HandOut, Job, JobFailure, JobReport, JobStatus, Pulled};
use guichet::domain::member::{ConnectionStatus, Member};
use guichet::domain::user::User;
use guichet::domain::window::WindowOptions;
use guichet::store::{
    JobOrder, Lease, MemberChange, MemberCreation, NewMember, Ordered, Recorded, Reported,
    SealedAccess,
};
use tokio::task::JoinSet;

use super::Bench;
use super::fixtures::{a_report, at, known_as, new_member, stands};

on_one_store!(
    a_standard_member_is_kept_with_credentials_and_job,
    a_member_is_known_by_the_first_fingerprint,
    without_a_job_nothing_is_started,
    an_order_queues_a_job,
    one_job_at_a_time_is_ordered,
    what_is_ordered_meanwhile_joins_the_job,
    of_parallel_orders_during_a_job_none_is_lost,
    what_a_replaced_job_was_to_pull_joins_the_new_one,
    who_has_nothing_to_pull_with_is_unfit,
    a_status_may_rule_an_aggregation_out,
    an_order_needs_a_member_of_the_user,
    of_racing_orders_one_is_queued,
);

impl Bench {
    fn an_order(&self, user: &User, member: &Member) -> JobOrder {
        let partition = user.guid.partition();
        JobOrder {
            background: None,
            user: user.guid,
            member: member.guid,
            job: self.a_job(partition),
            callback_payload: Some("bmV3".parse().expect("Base64")),
            updated: self.a_notice(partition, EventKind::MemberUpdated),
        }
    }

    async fn order(&self, order: &JobOrder, second: i64) -> Ordered {
        let ordered = self.store.order_job(order, at(second)).await;
        ordered.expect("answered")
    }
}

async fn a_standard_member_is_kept_with_credentials_and_job(bench: Bench) {
    let user = bench.user().await;
    let new = bench.a_standard(&user, "ada");
    assert_eq!(bench.create(&new, at(7)).await, MemberCreation::Created);
    let again = bench.create(&new, at(7)).await;
    assert!(matches!(again, MemberCreation::Found(_)), "{again:?}");
    let member = bench.read(&user, new.member.guid).await;
    assert_eq!(member.as_ref(), Some(&new.member));
    let told = bench.told(at(7)).await;
    let [told] = &told[..] else {
        panic!("one creation, one event: {told:?}");
    };
    assert_eq!((&told.member, told.happened_at), (&new.member, at(7)));

    let asked = new.job.clone().expect("one is asked for");
    let queued = Job {
        is_background: false,
        guid: asked.guid,
        member: new.member.guid,
        user: user.guid,
        client: user.client.clone(),
        institution: new.member.institution.clone(),
        status: JobStatus::Queued,
        attempt: 0,
        due_at: at(7),
        created_at: at(7),
        updated_at: at(7),
        data_request: asked.data_request,
        challenges: Vec::new(),
        round: 0,
        is_with_new_token: false,
        joined: Vec::new(),
        is_continued: false,
        failure: None,
    };
    assert_eq!(bench.job(asked.guid).await.as_ref(), Some(&queued));
    assert_eq!(
        bench.lease(asked.guid).await,
        Lease::NotRunning(Box::new(queued.clone())),
        "not pushed"
    );
    let taken = bench.take(at(7)).await;
    let pushed = Job {
        status: JobStatus::Pushed,
        attempt: 1,
        due_at: at(67),
        ..queued
    };
    assert_eq!(taken, std::slice::from_ref(&pushed));
    let granted = Lease::Granted {
        job: Box::new(pushed),
        sealed: SealedAccess::Credentials(new.sealed_credentials.expect("there are some")),
        token: None,
        sealed_answers: None,
    };
    assert_eq!(bench.lease(asked.guid).await, granted);
}

async fn a_member_is_known_by_the_first_fingerprint(bench: Bench) {
    let user = bench.user().await;
    let mut new = bench.a_standard(&user, "ada");
    new.fingerprints = ["ada", "ada under an older key"].map(known_as).into();
    bench.keep(&new).await;
    let member = bench.read(&user, new.member.guid).await.expect("kept");
    assert_eq!(member.fingerprint, Some(known_as("ada")));
}

async fn without_a_job_nothing_is_started(bench: Bench) {
    let user = bench.user().await;
    let mut new = NewMember {
        job: None,
        ..bench.a_standard(&user, "ada")
    };
    (new.member.current_job, new.member.most_recent_job) = (None, None);
    bench.keep(&new).await;
    assert_eq!(bench.take(at(9)).await, []);
    let order = bench.an_order(&user, &new.member);
    assert!(matches!(bench.order(&order, 9).await, Ordered::Queued(_)));
    assert_eq!(bench.take(at(9)).await.len(), 1);
    let Lease::Granted { sealed, .. } = bench.lease(order.job.guid).await else {
        panic!("it was pushed");
    };
    let credentials = new.sealed_credentials.expect("there are some");
    assert_eq!(sealed, SealedAccess::Credentials(credentials));
}

async fn an_order_queues_a_job(bench: Bench) {
    let (visited, connection, _) = bench.connected().await;
    let (user, guid) = (&visited.linked.user, visited.linked.member.guid);
    let first = connection.job.expect("one is asked for").guid;
    let success = JobReport::Succeeded(Pulled::default());
    let status_change = stands(ConnectionStatus::Connected);
    let report = a_report(&bench, first, success, status_change);
    bench.record(&report, at(5)).await;
    bench.told(at(5)).await;
    let before = bench.read(user, guid).await.expect("kept");

    let order = bench.an_order(user, &before);
    let job = order.job.guid;
    let member = Member {
        revision: before.revision + 1,
        current_job: Some(job),
        most_recent_job: Some(job),
        callback_payload: order.callback_payload.clone(),
        ..before
    };
    for _repeated in 0..2 {
        let queued = Ordered::Queued(Box::new(member.clone()));
        assert_eq!(bench.order(&order, 9).await, queued);
    }
    assert_eq!(bench.read(user, guid).await.as_ref(), Some(&member));
    let told = bench.told(at(9)).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(
        (told[0].guid, &told[0].member),
        (order.updated[0].guid, &member)
    );
    let queued = bench.job(job).await.expect("queued");
    assert_eq!((queued.status, queued.due_at), (JobStatus::Queued, at(9)));
    assert_eq!(queued.data_request, order.job.data_request);
    assert_eq!(bench.take(at(9)).await.len(), 1);
    let Lease::Granted { sealed, .. } = bench.lease(job).await else {
        panic!("it was pushed");
    };
    assert_eq!(sealed, SealedAccess::TokenSet(connection.tokens.sealed));

    let silent = JobOrder {
        callback_payload: None,
        updated: Vec::new(),
        ..bench.an_order(user, &member)
    };
    let failure = JobReport::Failed(JobFailure::Unavailable);
    let report = a_report(&bench, job, failure, status_change);
    bench.record(&report, at(10)).await;
    bench.told(at(10)).await;
    let Ordered::Queued(after) = bench.order(&silent, 11).await else {
        panic!("nothing is under way");
    };
    assert_eq!(after.callback_payload, member.callback_payload, "left");
    assert_eq!(bench.told(at(11)).await, []);
}

async fn one_job_at_a_time_is_ordered(bench: Bench) {
    let kept = bench.standard().await;
    let order = bench.an_order(&kept.user, &kept.new.member);
    let joined = Member {
        callback_payload: order.callback_payload.clone(),
        ..kept.new.member.clone()
    };
    let under_way = Ordered::UnderWay(Box::new(joined.clone()));
    assert_eq!(bench.order(&order, 5).await, under_way, "it is queued");
    bench.take(at(6)).await;
    assert_eq!(bench.order(&order, 7).await, under_way, "it is pushed");
    assert_eq!(bench.job(order.job.guid).await, None);
    let member = bench.read(&kept.user, kept.guid()).await;
    assert_eq!(member, Some(joined));
    assert_eq!(bench.told(at(9)).await, []);
}

async fn what_is_ordered_meanwhile_joins_the_job(bench: Bench) {
    let kept = bench.standard().await;
    let (job, own) = (kept.job(), kept.new.job.clone().expect("one").data_request);
    let of = |products: &[Product]| DataRequest {
        products: products.to_vec(),
        ..own.clone()
    };
    let order = async |asked: &DataRequest, second| {
        let mut order = bench.an_order(&kept.user, &kept.new.member);
        order.job.data_request = asked.clone();
        let ordered = bench.order(&order, second).await;
        assert!(matches!(ordered, Ordered::UnderWay(_)), "{ordered:?}");
        bench.job(job).await.expect("it is kept")
    };
    // Before it is handed out its request grows.
    let all = of(&[Product::Statements, Product::Rewards, Product::Transactions]);
    let queued = order(&of(&[Product::Transactions]), 5).await;
    assert_eq!((&queued.data_request, queued.joined.len()), (&all, 0));
    assert_eq!(bench.take(at(6)).await[0].data_request, all);
    // Then only what it does not cover is left for later.
    let same = order(&own, 7).await;
    assert!(same.joined.is_empty(), "{same:?}");
    order(&of(&[Product::Investments]), 7).await;
    order(&DataRequest::default(), 7).await;
    let joined = order(&of(&[Product::TransactionHistory]), 7).await;
    let later = of(&[Product::Investments, Product::TransactionHistory]);
    assert_eq!(joined.data_request, all, "what was handed out stays");
    assert_eq!(joined.joined, [later.clone(), DataRequest::default()]);

    let success = JobReport::Succeeded(Pulled::default());
    let connected = stands(ConnectionStatus::Connected);
    let mut rest = vec![DataRequest::default(), later];
    for round in 1..=2 {
        let named = Reported {
            of: HandOut {
                round: Some(round - 1),
                attempt: Some(1),
            },
            ..a_report(&bench, job, success.clone(), connected)
        };
        let again = bench.record(&named, at(10)).await;
        assert_eq!((again.status, again.round), (JobStatus::Queued, round));
        assert_eq!(Some(&again.data_request), rest.last());
        // Sent again, it counts once, whether it names its hand-out or not.
        let outdated = bench.store.record_report(&named, at(10)).await;
        assert!(
            matches!(outdated, Ok(Recorded::Outdated(_))),
            "{outdated:?}"
        );
        let unnamed = a_report(&bench, job, success.clone(), connected);
        assert_eq!(bench.record(&unnamed, at(10)).await, again);
        let member = bench.read(&kept.user, kept.guid()).await.expect("kept");
        assert_eq!(member.successfully_aggregated_at, Some(at(10)));
        assert_eq!(member.current_job, Some(job), "it goes on");
        let taken = bench.take(at(11)).await;
        assert_eq!((taken[0].guid, taken[0].attempt), (job, 1));
        rest.pop();
    }
    let last = a_report(&bench, job, success, connected);
    assert_eq!(
        bench.record(&last, at(12)).await.status,
        JobStatus::Succeeded
    );
    let member = bench.read(&kept.user, kept.guid()).await.expect("kept");
    assert_eq!(member.current_job, None);
    assert_eq!(bench.take(at(600)).await, []);
}

async fn of_parallel_orders_during_a_job_none_is_lost(bench: Bench) {
    let kept = bench.standard().await;
    bench.take(at(3)).await;
    let mut clients = JoinSet::new();
    let products = [
        Product::AccountVerification,
        Product::IdentityVerification,
        Product::Transactions,
        Product::TransactionHistory,
        Product::Investments,
    ];
    for product in products {
        let mut order = bench.an_order(&kept.user, &kept.new.member);
        order.job.data_request.products = vec![product];
        let store = Arc::clone(&bench.store);
        clients.spawn(async move { store.order_job(&order, at(5)).await });
    }
    for ordered in clients.join_all().await {
        assert!(matches!(ordered, Ok(Ordered::UnderWay(_))), "{ordered:?}");
    }
    let job = bench.job(kept.job()).await.expect("it is kept");
    let [joined] = &job.joined[..] else {
        panic!("one request for all: {job:?}");
    };
    assert!(products.iter().all(|it| joined.products.contains(it)));
    assert_eq!(bench.take(at(5)).await, [], "no second job");
}

async fn what_a_replaced_job_was_to_pull_joins_the_new_one(bench: Bench) {
    let kept = bench.standard().await;
    bench.take(at(3)).await;
    let mut order = bench.an_order(&kept.user, &kept.new.member);
    order.job.data_request.products = vec![Product::Investments];
    bench.order(&order, 4).await;
    let mut new = bench.new_credentials(&kept.user, "ada");
    let job = new.job.as_mut().expect("one is asked for");
    job.data_request.products = vec![Product::Transactions];
    let guid = job.guid;
    let change = MemberChange {
        credentials: Some(new),
        ..bench.a_change(&kept.user, kept.guid())
    };
    bench.change(&change, 5).await;
    let job = bench.job(guid).await.expect("it is queued");
    let all = [
        Product::Transactions,
        Product::Statements,
        Product::Rewards,
        Product::Investments,
    ];
    assert_eq!(job.data_request.products, all);
    assert!(job.joined.is_empty());
    let replaced = bench.job(kept.job()).await.expect("it is kept");
    assert_eq!(replaced.failure, Some(JobFailure::Replaced));
}

async fn who_has_nothing_to_pull_with_is_unfit(bench: Bench) {
    let pending = bench.linked(WindowOptions::default()).await;
    let bare = new_member(bench.a_standard_member(&pending.user));
    bench.keep(&bare).await;
    for member in [&pending.member, &bare.member] {
        let order = bench.an_order(&pending.user, member);
        let unfit = Ordered::Unfit(Box::new(member.clone()));
        assert_eq!(bench.order(&order, 5).await, unfit);
        assert_eq!(bench.job(order.job.guid).await, None);
        let found = bench.read(&pending.user, member.guid).await;
        assert_eq!(found.as_ref(), Some(member));
    }
    assert_eq!(bench.told(at(9)).await, []);
}

async fn a_status_may_rule_an_aggregation_out(bench: Bench) {
    let user = bench.user().await;
    for (number, status) in ConnectionStatus::ALL.iter().enumerate() {
        let mut new = NewMember {
            job: None,
            ..bench.a_standard(&user, &number.to_string())
        };
        (new.member.current_job, new.member.most_recent_job) = (None, None);
        new.member.status = *status;
        bench.keep(&new).await;
        let ordered = bench.order(&bench.an_order(&user, &new.member), 5).await;
        assert_eq!(
            matches!(ordered, Ordered::Queued(_)),
            status.may_be_aggregated(),
            "{ordered:?}"
        );
        if !status.may_be_aggregated() {
            assert_eq!(ordered, Ordered::Unfit(Box::new(new.member)));
        }
    }
}

async fn an_order_needs_a_member_of_the_user(bench: Bench) {
    let kept = bench.standard().await;
    let stranger = bench.user().await;
    let order = bench.an_order(&stranger, &kept.new.member);
    assert_eq!(bench.order(&order, 5).await, Ordered::NoSuchMember);
    let nobody = bench.a_standard_member(&kept.user);
    let order = bench.an_order(&kept.user, &nobody);
    assert_eq!(bench.order(&order, 5).await, Ordered::NoSuchMember);
    assert_eq!(bench.told(at(9)).await, []);
}

async fn of_racing_orders_one_is_queued(bench: Bench) {
    let kept = bench.standard().await;
    let failure = JobReport::Failed(JobFailure::Unavailable);
    let report = a_report(
        &bench,
        kept.job(),
        failure,
        stands(ConnectionStatus::Failed),
    );
    bench.record(&report, at(1)).await;
    bench.told(at(1)).await;
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        let order = bench.an_order(&kept.user, &kept.new.member);
        let store = Arc::clone(&bench.store);
        clients.spawn(async move {
            match store.order_job(&order, at(5)).await.expect("answered") {
                Ordered::Queued(_) => Some(order.job.guid),
                Ordered::UnderWay(_) => None,
                other => panic!("the member is fit: {other:?}"),
            }
        });
    }
    let queued: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
    let taken: Vec<_> = bench.take(at(5)).await.iter().map(|job| job.guid).collect();
    assert_eq!(queued.len(), 1);
    assert_eq!(taken, queued);
    assert_eq!(bench.told(at(9)).await.len(), 1);
}
