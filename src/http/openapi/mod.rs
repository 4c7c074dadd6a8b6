//! The description of the API, made from its routes (OpenAPI 3.1), and the page that shows it.
//!
//! A handler's annotation describes what belongs to that handler alone. `api_groups` adds what the layers
//! and extractors around handlers do: who may call, which headers are read, which errors any request of a
//! group can get.

mod api_groups;
mod events;
mod examples;
mod guide;
mod page;
mod served;

use serde_json::{Value, json};

use self::served::Document;
use super::endpoints::Endpoints;
use super::problem::{NexusProblem, PlatformProblem};

/// The description, ready to be sent.
pub struct Description {
    /// As JSON.
    pub document: Value,
    /// The same as text, the response of `GET /openapi.json`.
    pub text: String,
    /// The same as it is sent.
    pub json: Document,
    /// The page as it is sent.
    pub page: Document,
    /// The page's content security policy.
    pub policy: String,
}

impl Description {
    /// Of these endpoints.
    pub fn new(endpoints: &Endpoints) -> Self {
        let document = document(endpoints);
        let text = format!("{document:#}\n");
        let page = page::render(&document);
        Self {
            json: Document::new("application/json", &text),
            page: Document::new("text/html; charset=utf-8", &page.html),
            policy: page.policy,
            document,
            text,
        }
    }
}

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Guichet",
        description = "A self-hosted OAuth gateway for connecting people's bank accounts. It has MX's \
            Nexus and Platform APIs; the description of an operation or a field says where it differs. Times \
            are ISO 8601 with an offset. Fields may be added.",
    ),
    components(schemas(
        NexusProblem<'static>,
        PlatformProblem<'static>,
        events::MemberEvent,
        events::ConnectionStatusEvent,
        events::AggregationEvent,
        events::InitialDataReadyEvent,
        events::JobStatusEvent,
        events::ConsentExpiringEvent,
        events::OauthStateEvent,
    )),
)]
struct Frame;

fn document(endpoints: &Endpoints) -> Value {
    let whole = endpoints.describe(<Frame as utoipa::OpenApi>::openapi());
    let mut document = serde_json::to_value(whole).expect("a description is JSON");
    let info = &mut document["info"];
    info["version"] = env!("CARGO_PKG_VERSION").into();
    info["license"] = json!({"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"});
    if let Some(info) = info.as_object_mut() {
        info.remove("contact");
    }
    for (name, example) in examples::requests() {
        document["components"]["schemas"][name]["example"] = example;
    }
    document["webhooks"] = events::webhooks();
    api_groups::complete(&mut document);
    document
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::routes::DESCRIPTION;

    fn operations() -> Vec<(String, String, &'static Value)> {
        let paths = DESCRIPTION.document["paths"].as_object().expect("paths");
        let operations = paths.iter().flat_map(|(path, item)| {
            let methods = item.as_object().expect("methods").iter();
            methods.map(move |(method, operation)| (path.clone(), method.clone(), operation))
        });
        operations.collect()
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_a_group_and_a_response() {
        let mut names = BTreeSet::new();
        for (path, method, operation) in operations() {
            let name = operation["operationId"].as_str().expect("a name");
            assert!(names.insert(name.to_owned()), "{name}");
            let group = operation["tags"][0].as_str().expect("a group");
            assert!(
                api_groups::API_GROUPS
                    .iter()
                    .any(|known| known.tag == group),
                "{group}"
            );
            assert!(operation["summary"].is_string(), "{method} {path}");
            let responses = operation["responses"].as_object().expect("responses");
            assert!(
                responses.keys().any(|status| status < &"400".to_owned()),
                "{method} {path}"
            );
            for (status, response) in responses {
                assert!(
                    response["description"]
                        .as_str()
                        .is_some_and(|text| !text.is_empty()),
                    "{method} {path} {status}"
                );
            }
        }
    }

    #[test]
    fn every_parameter_of_a_path_is_described() {
        for (path, method, operation) in operations() {
            let described: BTreeSet<&str> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .filter_map(|parameter| parameter["name"].as_str())
                .collect();
            let named = path.split('/').filter_map(|segment| {
                let name = segment.split('.').next()?;
                name.strip_prefix('{')?.strip_suffix('}')
            });
            assert_eq!(described, named.collect(), "{method} {path}");
        }
    }

    #[test]
    fn every_body_in_json_has_an_example_and_every_example_a_schema() {
        for (path, method, operation) in operations() {
            let body = &operation["requestBody"]["content"]["application/json"]["schema"];
            let Some(named) = body["$ref"].as_str() else {
                assert!(body.is_null(), "{method} {path}: {body}");
                continue;
            };
            let schema = named
                .strip_prefix('#')
                .and_then(|at| DESCRIPTION.document.pointer(at));
            let schema = schema.expect("a schema");
            assert!(schema["example"].is_object(), "{method} {path}");
        }
        for (name, _) in examples::requests() {
            let schema = &DESCRIPTION.document["components"]["schemas"][name];
            assert!(
                schema["properties"].is_object() || schema["allOf"].is_array(),
                "{name}"
            );
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn follow(value: &Value) {
            match value {
                Value::Object(fields) => {
                    if let Some(Value::String(to)) = fields.get("$ref") {
                        let pointer = to.strip_prefix('#').expect("a place in this document");
                        assert!(DESCRIPTION.document.pointer(pointer).is_some(), "{to}");
                    }
                    fields.values().for_each(follow);
                }
                Value::Array(values) => values.iter().for_each(follow),
                _ => {}
            }
        }
        follow(&DESCRIPTION.document);
    }

    #[test]
    fn every_field_is_explained() {
        let schemas = DESCRIPTION.document["components"]["schemas"]
            .as_object()
            .expect("schemas");
        for (name, schema) in schemas {
            let parts = schema["allOf"].as_array().into_iter().flatten();
            for part in parts.chain([schema]) {
                let Some(properties) = part["properties"].as_object() else {
                    continue;
                };
                for (field, property) in properties {
                    let text = property["description"].as_str();
                    assert!(text.is_some_and(|text| !text.is_empty()), "{name}.{field}");
                }
            }
        }
    }
}
