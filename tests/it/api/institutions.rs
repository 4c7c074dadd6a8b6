//! Institutions, by both APIs (CONTRACT.md 1.4 and 2.4).

use serde_json::{Value, json};

use super::names;
use crate::support::gateway::{BANK, BANK_GUID, Backend, LOGIN, PAPER_BANK, TestGateway};

crate::on_both_stores!(
    an_institution_has_the_documented_fields,
    institutions_are_searched_and_come_in_pages,
    its_credentials_are_in_the_callers_words,
    an_unknown_institution_is_404,
);

async fn an_institution_has_the_documented_fields(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for path in [BANK, BANK_GUID].map(|name| format!("/institutions/{name}")) {
        let (status, response) = gateway.platform("GET", &path, None).await;
        assert_eq!(status, 200, "{response}");
        let institution = &response["institution"];
        assert_eq!(institution["code"], BANK);
        assert_eq!(institution["guid"], BANK_GUID);
        assert_eq!(institution["name"], "Fake Bank");
        assert_eq!(institution["supports_oauth"], true);
        assert_eq!(
            gateway.nexus("GET", &path, None).await,
            (200, with_country(response))
        );
    }
    let (_, response) = gateway
        .platform("GET", &format!("/institutions/{PAPER_BANK}"), None)
        .await;
    assert_eq!(response["institution"]["supports_oauth"], false);
}

/// The response of the Nexus API: the Platform API leaves out a country that is not known.
fn with_country(mut response: Value) -> Value {
    let one = response.get("institution").is_some();
    let institutions = match one {
        true => std::slice::from_mut(&mut response["institution"]),
        false => response["institutions"].as_array_mut().expect("a list"),
    };
    for institution in institutions {
        institution["iso_country_code"] = Value::Null;
    }
    response
}

fn codes(response: &Value) -> Vec<&str> {
    let institutions = response["institutions"].as_array().expect("a list");
    let codes = institutions.iter().map(|it| it["code"].as_str());
    codes.map(|code| code.expect("a code")).collect()
}

async fn institutions_are_searched_and_come_in_pages(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let (status, all) = gateway.platform("GET", "/institutions", None).await;
    assert_eq!(status, 200, "{all}");
    assert_eq!(names(&all), ["institutions", "pagination"].into());
    assert_eq!(codes(&all).len(), 3);
    let listed = all["institutions"].as_array().expect("a list").iter();
    let in_order = listed.map(|it| it["name"].as_str());
    assert!(in_order.is_sorted(), "{all}");
    for (query, body, found) in [
        ("name=PAPER", json!({"name": "paper"}), vec![PAPER_BANK]),
        (
            "supports_oauth=false",
            json!({"supports_oauth": false}),
            vec![PAPER_BANK],
        ),
        ("name=nowhere", json!({"name": "nowhere"}), vec![]),
        (
            "iso_country_code=ZZ",
            json!({"iso_country_code": "ZZ"}),
            vec![],
        ),
    ] {
        let path = format!("/institutions?{query}");
        let (status, listed) = gateway.platform("GET", &path, None).await;
        assert_eq!((status, codes(&listed)), (200, found.clone()), "{query}");
        let searched = gateway
            .nexus("POST", "/institutions/search", Some(body))
            .await;
        assert_eq!(searched, (200, with_country(listed)), "{query}");
    }
    let path = "/institutions?page=2&records_per_page=10";
    let (_, second) = gateway.platform("GET", path, None).await;
    assert_eq!(
        second["pagination"],
        json!({"current_page": 2, "per_page": 10, "total_entries": 3, "total_pages": 1})
    );
    assert!(codes(&second).is_empty());
    let (status, response) = gateway.nexus("POST", "/institutions/search", None).await;
    assert_eq!((status, codes(&response).len()), (200, 3));
}

async fn its_credentials_are_in_the_callers_words(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    let path = format!("/institutions/{PAPER_BANK}/credentials");
    let (status, response) = gateway.nexus("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    let login = &response["credentials"][0];
    assert_eq!(
        (&login["guid"], &login["field_type"]),
        (&json!(LOGIN), &json!(3))
    );
    assert_eq!(login["field_type_name"], "TEXT");
    let branch = &response["credentials"][2];
    assert_eq!(
        (&branch["field_type"], &branch["optional"]),
        (&json!(2), &json!(true))
    );
    assert_eq!(
        (
            &branch["options"][0]["label"],
            &branch["options"][0]["value"]
        ),
        (&json!("North"), &json!("north"))
    );
    let (status, response) = gateway.platform("GET", &path, None).await;
    assert_eq!(status, 200, "{response}");
    assert_eq!(response["credentials"][0]["field_type"], "TEXT");
    assert_eq!(response["credentials"][1]["type"], "PASSWORD");
    let (_, response) = gateway
        .nexus("GET", &format!("/institutions/{BANK}/credentials"), None)
        .await;
    assert_eq!(response["credentials"], json!([]), "OAuth only");
}

async fn an_unknown_institution_is_404(backend: Backend) {
    let gateway = TestGateway::start(backend).await;
    for name in [
        "nowhere",
        "INS-99999999-9999-4999-8999-999999999999",
        "%00",
        "a%20b",
    ] {
        for path in [
            format!("/institutions/{name}"),
            format!("/institutions/{name}/credentials"),
        ] {
            let (status, response) = gateway.platform("GET", &path, None).await;
            assert_eq!(
                (status, &response["error"]["status"]),
                (404, &json!("not_found"))
            );
            let (status, response) = gateway.nexus("GET", &path, None).await;
            assert_eq!((status, &response["error"]["code"]), (404, &json!("4040")));
        }
    }
}
