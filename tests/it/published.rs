//! Our description beside the two published ones: what a client written for those finds here.
//!
//! `tests/published` has them, and says where they come from.

mod compare;
mod shape;

use std::fs;

use serde_json::{Value, json};

use crate::support::gateway::{Backend, TestGateway};
use crate::support::package_folder;
use crate::support::visitor::http;
use compare::{Difference, differences};

const V20111101: &str = "v20111101";
const V20250224: &str = "v20250224";
const BOTH: &[&str] = &[V20111101, V20250224];

/// Differences on purpose.
struct OnPurpose {
    /// The published versions that say something else.
    versions: &'static [&'static str],
    /// Where; every operation if there is none.
    operations: &'static [&'static str],
    /// What differs there, in the words of [`compare`].
    what: &'static [&'static str],
    /// Why it is right all the same.
    why: &'static str,
}

/// Every difference on purpose; there are no others.
const ON_PURPOSE: &[OnPurpose] = &[
    OnPurpose {
        versions: &[V20250224],
        operations: &[],
        what: &["header accept-version: not required"],
        why: "clients of the older version send none",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["DELETE /users/{}"],
        what: &["header accept: absent"],
        why: "OpenAPI ignores a parameter of this name, and every Accept is answered",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["POST /users/{}/members"],
        what: &["request member.credentials: not required"],
        why: "a member that connects by OAuth has none, as the publisher's prose says",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["POST /users/{}/members"],
        what: &["request member.institution_code: not required"],
        why: "institution_guid will do as well",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["POST /users/{}/members", "PUT /users/{}/members/{}"],
        what: &["request member.credentials[].guid: required"],
        why: "a value is for a field, and without its guid nobody knows which",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["POST /users/{}/members"],
        what: &["request member: required"],
        why: "the publisher requires fields inside it; without it nothing is asked for",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["PUT /users/{}/members/{}/resume"],
        what: &[
            "request member: required",
            "request member.challenges: required",
            "request member.challenges[].guid: required",
        ],
        why: "nothing can be resumed without answers to the questions",
    },
    OnPurpose {
        versions: &[V20250224],
        operations: &["POST /users/{}/members"],
        what: &["request data_request.products: not required"],
        why: "a request for nothing in particular is one for everything",
    },
    OnPurpose {
        versions: &[V20111101],
        operations: &[],
        what: &[
            "response member.most_recent_job_guid: string instead of boolean",
            "response members[].most_recent_job_guid: string instead of boolean",
        ],
        why: "it is a guid, as its example says; callers of that version get null",
    },
    OnPurpose {
        versions: BOTH,
        operations: &["GET /institutions/{}/credentials"],
        what: &["response credentials[].field_type: integer or string instead of string"],
        why: "sessions of the Nexus API share the path, and their answer has the number",
    },
    OnPurpose {
        versions: BOTH,
        operations: &[],
        what: &[
            "response institution.iso_country_code: may be null",
            "response institutions[].iso_country_code: may be null",
        ],
        why: "an institution file may leave it out; then callers of either version get no such field",
    },
    OnPurpose {
        versions: &[V20250224],
        operations: &[],
        what: &[
            "response institution.created_at: absent",
            "response institutions[].created_at: absent",
        ],
        why: "institutions are configuration, which has no time of creation",
    },
    OnPurpose {
        versions: &[V20111101],
        operations: &["GET /institutions"],
        what: &[
            "query supports_account_identification: absent",
            "query supports_account_statement: absent",
            "query supports_account_verification: absent",
            "query supports_transaction_history: absent",
        ],
        why: "what can be pulled is for the aggregator to know, so nothing is filtered by it",
    },
    OnPurpose {
        versions: &[V20250224],
        operations: &[],
        what: &[
            "query supported_products: absent",
            "response institution.supported_products: absent",
            "response institution.supported_products[]: absent",
            "response institutions[].supported_products: absent",
            "response institutions[].supported_products[]: absent",
        ],
        why: "what can be pulled is for the aggregator to know",
    },
    OnPurpose {
        versions: &[V20250224],
        operations: &[],
        what: &[
            "response user.email: may be null",
            "response users[].email: may be null",
        ],
        why: "a user may have none, as the older version says; callers of the newer get no such field",
    },
];

impl OnPurpose {
    fn is(&self, version: &str, difference: &Difference) -> bool {
        let here =
            self.operations.is_empty() || self.operations.contains(&difference.operation.as_str());
        here && self.versions.contains(&version) && self.what.contains(&difference.what.as_str())
    }

    /// What this row says of `version` and no longer is so.
    fn stale<'a>(
        &'a self,
        version: &'a str,
        found: &'a [Difference],
    ) -> impl Iterator<Item = String> + 'a {
        let claims = self.versions.contains(&version);
        let everywhere: &[&str] = if self.operations.is_empty() {
            &["every operation"]
        } else {
            self.operations
        };
        let claimed = everywhere
            .iter()
            .flat_map(|place| self.what.iter().map(move |what| (*place, *what)));
        claimed
            .filter(move |(place, what)| {
                let still = |found: &Difference| {
                    found.what == *what && (self.operations.is_empty() || found.operation == *place)
                };
                claims && !found.iter().any(still)
            })
            .map(move |(place, what)| {
                format!("no longer: {version} {place}: {what} ({})", self.why)
            })
    }
}

fn published(version: &str) -> Value {
    let path = package_folder().join(format!("tests/published/{version}.json"));
    let text = fs::read_to_string(path).expect("a published description");
    serde_json::from_str(&text).expect("JSON")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ours_differs_from_the_published_descriptions_only_on_purpose() {
    let gateway = TestGateway::start(Backend::Sqlite).await;
    let response = http().get(gateway.at("/openapi.json")).send().await;
    let response = response.expect("a response");
    assert_eq!(response.status(), 200);
    let ours: Value = response.json().await.expect("JSON");
    let mut wrong = Vec::new();
    for version in BOTH {
        let found = differences(&published(version), &ours);
        let unexpected = found
            .iter()
            .filter(|found| !ON_PURPOSE.iter().any(|row| row.is(version, found)));
        wrong.extend(unexpected.map(|found| {
            format!(
                "not on purpose: {version} {}: {}",
                found.operation, found.what
            )
        }));
        wrong.extend(ON_PURPOSE.iter().flat_map(|row| row.stale(version, &found)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_description_does_not_differ_from_itself() {
    for version in BOTH {
        let published = published(version);
        assert_eq!(differences(&published, &published), []);
        let paths = published["paths"]
            .as_object()
            .map_or(0, serde_json::Map::len);
        assert_eq!(paths, 13, "{version} has the paths we claim");
    }
}

/// The comparison itself sees every kind of difference, through references and alternatives.
#[test]
fn every_kind_of_difference_is_seen() {
    let theirs = json!({
        "paths": {
            "/gone": {"get": {"responses": {}}},
            "/things/{guid}": {"put": {
                "parameters": [
                    {"name": "page", "in": "query"},
                    {"name": "X-Version", "in": "header", "required": true},
                    {"name": "kind", "in": "query"},
                ],
                "requestBody": {"content": {"application/json": {"schema": {
                    "required": ["name"],
                    "properties": {
                        "name": {"type": "string"},
                        "colour": {"type": "string", "enum": ["RED", "BLUE"]},
                        "lost": {"type": "string"},
                        "size": {"type": "integer"},
                    },
                }}}},
                "responses": {
                    "200": {"content": {"application/json": {
                        "schema": {"$ref": "#/components/schemas/Thing"}}}},
                    "202": {},
                },
            }},
        },
        "components": {"schemas": {"Thing": {"type": "object", "properties": {
            "guid": {"type": "string"},
            "count": {"type": "integer"},
            "parts": {"type": "array", "items": {"properties": {
                "label": {"type": "string", "nullable": true},
                "lost": {"type": "string"},
            }}},
        }}}},
    });
    let ours = json!({
        "paths": {
            "/things/{thing}": {"put": {
                "parameters": [
                    {"$ref": "#/components/parameters/Version"},
                    {"name": "kind", "in": "query", "required": true},
                    {"name": "new", "in": "query", "required": true},
                ],
                "requestBody": {"content": {"application/json": {"schema": {
                    "type": "object",
                    "required": ["secret", "size"],
                    "properties": {
                        "name": {"type": ["string", "null"]},
                        "colour": {"type": "string", "enum": ["RED"]},
                        "size": {"type": "string"},
                        "secret": {"type": "string"},
                    },
                }}}},
                "responses": {"200": {"content": {"application/json": {"schema": {
                    "allOf": [
                        {"$ref": "#/components/schemas/Base"},
                        {"properties": {"parts": {"type": "array", "items": {"oneOf": [
                            {"type": "null"},
                            {"$ref": "#/components/schemas/Part"},
                        ]}}}},
                    ],
                }}}}},
            }},
        },
        "components": {
            "parameters": {"Version": {"name": "x-version", "in": "header"}},
            "schemas": {
                "Base": {"type": "object", "properties": {
                    "guid": {"type": ["string", "null"]},
                    "count": {"oneOf": [{"type": "integer"}, {"type": "string"}]},
                }},
                "Part": {"type": "object", "properties": {"label": {"type": "string"}}},
            },
        },
    });
    let found: Vec<String> = differences(&theirs, &ours)
        .into_iter()
        .map(|found| format!("{}: {}", found.operation, found.what))
        .collect();
    let thing = |what: &str| format!("PUT /things/{{}}: {what}");
    let mut expected = vec![
        "GET /gone: absent".to_owned(),
        thing("query page: absent"),
        thing("header x-version: not required"),
        thing("query kind: required"),
        thing("query new: required"),
        thing("request name: not required"),
        thing("request colour: not BLUE"),
        thing("request lost: absent"),
        thing("request size: required"),
        thing("request size: string instead of integer"),
        thing("request secret: required"),
        thing("success 202: absent"),
        thing("response guid: may be null"),
        thing("response count: integer or string instead of integer"),
        thing("response parts[]: may be null"),
        thing("response parts[].lost: absent"),
    ];
    expected.sort();
    assert_eq!(found, expected);
}
