//! Banks without pages of their own, in the app: name and password, what the bank asks, and what
//! becomes of it. On the narrowest phone, where every page is examined as `looks` does.

use serde_json::Value;

use super::demo::Demo;
use super::steps::somebody;
use crate::support::browser::{Browser, Options};
use crate::support::gateway::Backend;

crate::on_both_stores!(
    a_password_connects,
    questions_are_answered,
    a_wrong_answer_is_rejected_and_another_try_connects,
    a_person_answers_without_scripts,
);

/// What a person does with a question.
enum Answer {
    Types(&'static str),
    Chooses(&'static str),
}

use Answer::{Chooses, Types};

/// A person in front of the app.
struct Person<'a> {
    demo: &'a Demo,
    browser: Browser,
    /// What they type as user name; nobody else does.
    login: String,
}

impl<'a> Person<'a> {
    async fn arrives(backend: Backend, options: Options) -> Self {
        let demo = Demo::shared(backend);
        let browser = Browser::open(options).await;
        browser.go(&demo.app).await;
        Self {
            demo,
            browser,
            login: somebody(),
        }
    }

    /// Connects with this password, from the app's first page.
    async fn signs_in(&self, password: &str) {
        self.browser.go(&self.demo.app).await;
        self.browser.click("#sign-in-mxbank summary").await;
        self.types("#sign-in-mxbank", password).await;
    }

    /// Has the member on show sign in again with this password.
    async fn signs_in_again(&self, password: &str) {
        self.types("#sign-in-again", password).await;
    }

    async fn types(&self, form: &str, password: &str) {
        for (field, text) in [("LOGIN", self.login.as_str()), ("PASSWORD", password)] {
            let input = format!("{form} [data-field={field}]");
            self.browser.type_into(&input, text).await;
        }
        self.browser.click(&format!("{form} button")).await;
    }

    /// Answers all that is asked, by the names of the questions.
    async fn answers(&self, answers: &[(&str, Answer)]) {
        for (field, answer) in answers {
            let question = format!("#challenges [data-field={field}]");
            match answer {
                Types(text) => {
                    let input = format!("{question} input");
                    self.browser.type_into(&input, text).await;
                }
                Chooses(value) => {
                    let input = format!("{question} input[value={value}]");
                    self.browser.click(&input).await;
                }
            }
        }
        self.browser.click("#answer").await;
    }

    /// Waits until the app shows this status.
    async fn sees(&self, status: &str) {
        let selector = format!("#status[data-status={status}]");
        self.browser.find(&selector).await;
    }

    /// The member on show, as the API gives it.
    async fn member(&self) -> Value {
        let guid = self.browser.hidden_text("#member-guid").await;
        self.demo.member(&guid).await
    }
}

async fn a_password_connects(backend: Backend) {
    let person = Person::arrives(backend, Options::phone()).await;
    person.browser.click("#sign-in-mxbank summary").await;
    person.browser.examine("name and password").await;
    person.signs_in("sesame").await;
    person.sees("CONNECTED").await;
    person.browser.find("#accounts li[data-account]").await;
    person.browser.examine("the accounts").await;
    let member = person.member().await;
    assert_eq!(member["connection_status"], "CONNECTED");
    assert_eq!(member["is_oauth"], false);

    // The same login once more is the same member.
    person.signs_in("another").await;
    person.sees("CONNECTED").await;
    assert_eq!(person.member().await["guid"], member["guid"]);
}

async fn questions_are_answered(backend: Backend) {
    let mut person = Person::arrives(backend, Options::phone()).await;
    let questions = [
        ("challenge", "TEXT", vec![("PET", Types("correct"))]),
        ("options", "OPTIONS", vec![("CHOICE", Chooses("correct"))]),
        ("token", "TOKEN", vec![("CODE", Types("correct"))]),
        ("image", "IMAGE_DATA", vec![("WORD", Types("correct"))]),
        (
            "image_options",
            "IMAGE_OPTIONS",
            vec![("SHAPE", Chooses("correct"))],
        ),
        (
            "two_at_once",
            "OPTIONS",
            vec![("STREET", Types("correct")), ("COLOUR", Chooses("correct"))],
        ),
    ];
    for (password, kind, answers) in questions {
        person.login = somebody();
        person.signs_in(password).await;
        let asked = format!("#challenges [data-challenge={kind}]");
        person.browser.find(&asked).await;
        person.sees("CHALLENGED").await;
        person.browser.examine(password).await;
        let seen = "[...document.querySelectorAll('#challenges img')].every((one) => one.naturalWidth > 0)";
        assert_eq!(person.browser.ask(seen).await, true, "{password}");
        assert_eq!(person.member().await["connection_status"], "CHALLENGED");
        person.answers(&answers).await;
        person.sees("CONNECTED").await;
        person.browser.find("#accounts li[data-account]").await;
    }

    person.login = somebody();
    person.signs_in("two_step").await;
    person.answers(&[("CITY", Types("challenge"))]).await;
    person.answers(&[("SCHOOL", Types("correct"))]).await;
    person.sees("CONNECTED").await;
}

async fn a_wrong_answer_is_rejected_and_another_try_connects(backend: Backend) {
    let person = Person::arrives(backend, Options::phone()).await;
    person.signs_in("options").await;
    person.answers(&[("CHOICE", Chooses("first"))]).await;
    person.sees("REJECTED").await;
    person.browser.find("#sign-in-again").await;
    person.browser.examine("a wrong answer").await;
    let member = person.member().await;
    assert_eq!(member["connection_status"], "REJECTED");

    person.signs_in_again("sesame").await;
    person.sees("CONNECTED").await;
    assert_eq!(person.member().await["guid"], member["guid"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_refusals_in_a_row_need_new_credentials() {
    let person = Person::arrives(Backend::Sqlite, Options::phone()).await;
    person.signs_in("UNAUTHORIZED").await;
    person.sees("DENIED").await;
    person.browser.find("#sign-in-again").await;
    person.browser.examine("a refused sign-in").await;
    let member = person.member().await;
    // Not by the person: new credentials begin a new count.
    let path = format!(
        "/members/{}/aggregate",
        member["guid"].as_str().expect("a guid")
    );
    for status in ["DENIED", "PREVENTED"] {
        person.demo.nexus("GET", &path, None).await;
        let refused = async || {
            let member = person.member().await;
            member["is_being_aggregated"] == false && member["connection_status"] == status
        };
        person.browser.wait_until(status, refused).await;
    }
    person.sees("PREVENTED").await;
    person.browser.examine("three refusals").await;
    person.signs_in_again("sesame").await;
    person.sees("CONNECTED").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_refusals_are_told_apart() {
    let mut person = Person::arrives(Backend::Sqlite, Options::phone()).await;
    for (password, status) in [
        ("locked", "LOCKED"),
        ("LOCKED", "LOCKED"),
        ("BAD_REQUEST", "FAILED"),
        ("provider_error", "FAILED"),
        ("revoked", "DENIED"),
    ] {
        person.login = somebody();
        person.signs_in(password).await;
        person.sees(status).await;
        person.browser.find("#sign-in-again").await;
        person.browser.examine(password).await;
        assert_eq!(person.member().await["connection_status"], status);
    }
}

async fn a_person_answers_without_scripts(backend: Backend) {
    // At a desk: the driver taps on a phone's page by script.
    let options = Options {
        javascript: false,
        ..Options::default()
    };
    let person = Person::arrives(backend, options).await;
    let reaches = async |selector: &str| {
        let reached = async || {
            if person.browser.has(selector).await {
                return true;
            }
            // By hand, as the page says to people without scripts.
            person.browser.click("noscript a").await;
            false
        };
        person.browser.wait_until(selector, reached).await;
    };
    person.signs_in("challenge").await;
    reaches("#challenges").await;
    person.answers(&[("PET", Types("correct"))]).await;
    reaches("#status[data-status=CONNECTED]").await;
    person.browser.find("#accounts li[data-account]").await;
}
