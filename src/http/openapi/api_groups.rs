//! The API groups: who may call what, and which headers and errors the layers around the handlers of a
//! group add.

use serde_json::{Map, Value, json};

use super::examples;
use crate::http::problem::Dialect;
use crate::http::version::VERSIONS;

/// A group of operations, as the description shows them.
pub struct ApiGroup {
    /// Its name.
    pub tag: &'static str,
    description: &'static str,
    /// The security schemes, of which one is needed; empty: each operation has its own.
    security: &'static [&'static str],
    /// The envelopes of its errors; empty: errors are pages.
    problems: &'static [&'static str],
    /// Whether requests are counted for each client.
    is_counted: bool,
    /// Whether POST accepts `Idempotency-Key`.
    takes_keys: bool,
    /// The vendor's media types that its responses have on request.
    media_types: &'static [&'static str],
}

const NEXUS: &str = "#/components/schemas/NexusProblem";
const PLATFORM: &str = "#/components/schemas/PlatformProblem";
const NEXUS_TYPE: &str = "application/vnd.mx.nexus.v1+json";
const PLATFORM_TYPE: &str = "application/vnd.mx.api.v1+json";

/// Every group, in the order they are shown.
pub const API_GROUPS: [ApiGroup; 8] = [
    ApiGroup {
        tag: "Nexus API",
        description: "One user and its members, with a session.",
        security: &["nexus_session"],
        problems: &[NEXUS],
        is_counted: true,
        takes_keys: true,
        media_types: &[NEXUS_TYPE],
    },
    ApiGroup {
        tag: "Platform API",
        description: "All your users and their members, with an API key.",
        security: &["platform_key"],
        problems: &[PLATFORM],
        is_counted: true,
        takes_keys: true,
        media_types: &[PLATFORM_TYPE],
    },
    ApiGroup {
        tag: "Both APIs",
        description: "With a session or an API key: a request with `MD-SESSION-TOKEN` is a Nexus API request.",
        security: &["nexus_session", "platform_key"],
        problems: &[NEXUS, PLATFORM],
        is_counted: true,
        takes_keys: false,
        media_types: &[NEXUS_TYPE, PLATFORM_TYPE],
    },
    ApiGroup {
        tag: "Sessions",
        description: "Start and end sessions of the Nexus API.",
        security: &[],
        // A layer that does not know the session yet uses the Platform API's envelope.
        problems: &[NEXUS, PLATFORM],
        is_counted: true,
        takes_keys: false,
        media_types: &[NEXUS_TYPE],
    },
    ApiGroup {
        tag: "Aggregator",
        description: "For your aggregator, which pulls the data: it is pushed jobs or claims them, leases a job's token or credentials, and reports.",
        security: &["aggregator_key"],
        problems: &[PLATFORM],
        is_counted: false,
        takes_keys: false,
        media_types: &[],
    },
    ApiGroup {
        tag: "Browser",
        description: "The links and pages that people see.",
        security: &[],
        problems: &[],
        is_counted: false,
        takes_keys: false,
        media_types: &[],
    },
    ApiGroup {
        tag: "Keys",
        description: "The public keys that clients have at institutions.",
        security: &[],
        problems: &[],
        is_counted: false,
        takes_keys: false,
        media_types: &[],
    },
    ApiGroup {
        tag: "Description",
        description: "This description.",
        security: &[],
        problems: &[],
        is_counted: false,
        takes_keys: false,
        media_types: &[],
    },
];

/// Adds what the operations of a group have in common to a document of bare operations.
pub fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = security_schemes();
    document["tags"] = API_GROUPS
        .iter()
        .map(|group| json!({"name": group.tag, "description": group.description}))
        .collect();
    let paths = document["paths"].as_object_mut();
    for (path, item) in paths.into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let group = API_GROUPS
                .iter()
                .find(|group| operation["tags"][0] == group.tag);
            if let (Some(group), Some(operation)) = (group, operation.as_object_mut()) {
                group.complete(path, method, operation);
            }
            // One handler serves both, and a name is for one operation.
            if operation["operationId"] == "followLink" && method == "post" {
                operation["operationId"] = "pressLinksButton".into();
            }
        }
    }
    let schemas = document["components"]["schemas"].as_object_mut();
    for (_, schema) in schemas.into_iter().flatten() {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for (_, property) in properties.into_iter().flatten() {
            lift_description(property);
        }
    }
}

/// A field that may be null has its description next to its choices, not inside them.
fn lift_description(property: &mut Value) {
    let choices = property.get_mut("oneOf").and_then(Value::as_array_mut);
    let mut lifted = choices
        .into_iter()
        .flatten()
        .filter_map(|choice| choice.as_object_mut()?.remove("description"));
    if let Some(description) = lifted.next() {
        property["description"] = description;
    }
}

fn security_schemes() -> Value {
    json!({
        "nexus_session": {
            "type": "apiKey", "in": "header", "name": "MD-SESSION-TOKEN",
            "description": "A session of one user. `POST /sessions` starts it; it ends after 30 minutes without a call.",
        },
        "platform_key": {
            "type": "http", "scheme": "basic",
            "description": "Your client id and an API key (`guichet keys create`).",
        },
        "sso_key": {
            "type": "apiKey", "in": "header", "name": "MD-API-KEY",
            "description": "Your SSO key, from the configuration.",
        },
        "sso_token": {
            "type": "apiKey", "in": "header", "name": "MD-API-TOKEN",
            "description": "An SSO token: it works once, within 10 minutes.",
        },
        "aggregator_key": {
            "type": "http", "scheme": "bearer",
            "description": "The aggregator's key, from the configuration.",
        },
    })
}

/// The same schema without null: a parameter and a body are left out, never null.
fn without_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array_mut() {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            schema["type"] = only.clone();
        }
    }
    if let Some(choices) = schema["oneOf"].as_array_mut() {
        choices.retain(|choice| choice["type"] != "null");
        if let [only] = choices.as_slice() {
            *schema = only.clone();
        }
    }
    // Indexing made a null of what is not there.
    if let Some(fields) = schema.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
    }
}

impl ApiGroup {
    fn complete(&self, path: &str, method: &str, operation: &mut Map<String, Value>) {
        if !self.security.is_empty() {
            let schemes = self.security.iter().map(|scheme| json!({ *scheme: [] }));
            operation.insert("security".to_owned(), schemes.collect());
        }
        let parameters = operation
            .get_mut("parameters")
            .and_then(Value::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            without_null(&mut parameter["schema"]);
        }
        if let Some(body) = operation.get_mut("requestBody") {
            for (_, content) in body["content"].as_object_mut().into_iter().flatten() {
                without_null(&mut content["schema"]);
            }
        }
        self.add_headers(method, operation);
        let has_body = operation.contains_key("requestBody");
        let takes_key = self.takes_keys && method == "post";
        let responses = operation
            .entry("responses")
            .or_insert_with(|| json!({}))
            .as_object_mut();
        let Some(responses) = responses.filter(|_| !self.problems.is_empty()) else {
            return;
        };
        for (status, description) in self.common_errors(path, has_body, takes_key) {
            let known = responses
                .entry(status)
                .or_insert_with(|| json!({"description": description}));
            if matches!(status, "403" | "409" | "422") {
                let own = known["description"].as_str().unwrap_or_default();
                if !own.contains(description) {
                    known["description"] = format!("{own} {description}").into();
                }
            }
        }
        for (status, response) in responses.iter_mut() {
            self.dress(status, takes_key, response);
        }
    }

    /// The headers that a layer or an extractor of the group reads.
    fn add_headers(&self, method: &str, operation: &mut Map<String, Value>) {
        let mut headers = Vec::new();
        if self.security.contains(&"platform_key") {
            headers.push(json!({
                "name": "Accept-Version", "in": "header", "required": false,
                "description": "Which version of the Platform API you use. Without it the media type \
                    `application/vnd.mx.api.v2+json` asks for v20250224, and everything else for v20111101. \
                    The two differ in three fields. In v20111101 `most_recent_job_guid` of a member is null. \
                    In v20250224 `email` of a user is left out if there is none, and `iso_country_code` \
                    of an institution is left out unless it is US or CA. rc20260430 is accepted by \
                    `oauth_window_uri` and by DELETE, whose responses are the same.",
                "schema": {"type": "string", "enum": VERSIONS.map(|(name, _)| name), "example": "v20250224"},
            }));
        }
        if self.takes_keys && method == "post" {
            headers.push(json!({
                "name": "Idempotency-Key", "in": "header", "required": false,
                "description": "Your own name for this request. If you send it again within 24 hours, it is \
                    not executed again, and you get the same response.",
                "schema": {
                    "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$",
                    "example": "8e03978e-40d5-43e8-bc93-6894a57f9324",
                },
            }));
        }
        if headers.is_empty() {
            return;
        }
        let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
        if let Some(parameters) = parameters.as_array_mut() {
            parameters.extend(headers);
        }
    }

    /// The errors that any request of the group can get.
    fn common_errors(
        &self,
        path: &str,
        has_body: bool,
        takes_key: bool,
    ) -> Vec<(&'static str, &'static str)> {
        let mut errors = vec![
            (
                "400",
                "A field, a parameter or a header is missing or wrong: the message names it.",
            ),
            ("401", "The credentials are missing or wrong."),
            (
                "408",
                "The request came too slowly (nothing for 10 seconds, or less than 1 kB a second), or took longer than 60 seconds.",
            ),
            ("500", "Something went wrong on our side."),
            (
                "503",
                "The store cannot be reached: send the request again.",
            ),
        ];
        if path.contains('{') {
            errors.push(("404", "It does not exist, or you may not see it."));
        }
        if self.security.contains(&"platform_key") {
            errors.push((
                "406",
                "`Accept-Version` names a version that is not supported.",
            ));
        }
        let begins = has_body || path.ends_with("/oauth_window_uri");
        if begins && path.contains("{user_identifier}/members") {
            errors.push(("403", "The user is disabled."));
        }
        if has_body {
            errors.push(("413", "The body is over 64 kB."));
            errors.push((
                "415",
                "The body is not JSON by its `Content-Type`, or is compressed.",
            ));
        }
        if takes_key {
            errors.push((
                "409",
                "The request with this `Idempotency-Key` is still running.",
            ));
            errors.push((
                "422",
                "This `Idempotency-Key` was used for another request.",
            ));
        }
        if self.is_counted {
            errors.push(("429", "Too many requests of this client or for this user in this second, or too many wrong credentials from this address."));
        }
        errors
    }

    /// Gives a response its envelope, its media types and its headers.
    fn dress(&self, status: &str, takes_key: bool, response: &mut Value) {
        if status >= "400" {
            let schema = match self.problems {
                [one] => json!({ "$ref": one }),
                several => {
                    let any = several.iter().map(|one| json!({ "$ref": one }));
                    json!({"oneOf": any.collect::<Vec<_>>()})
                }
            };
            let mut content = json!({"schema": schema});
            let dialect = match self.problems {
                [NEXUS, ..] => Dialect::Nexus,
                _ => Dialect::Platform,
            };
            if let Some(example) = examples::problem(status, dialect) {
                content["example"] = example;
            }
            let media_types = self.media_types.iter().chain(["application/json"].iter());
            response["content"] = media_types
                .map(|media_type| ((*media_type).to_owned(), content.clone()))
                .collect::<Map<_, _>>()
                .into();
        } else if let Some(content) = response["content"].as_object_mut()
            && let Some(plain) = content.get("application/json").cloned()
        {
            for media_type in self.media_types {
                content.insert((*media_type).to_owned(), plain.clone());
            }
        } else if let Some(response) = response.as_object_mut() {
            // Indexing made a null of what is not there.
            response.retain(|_, value| !value.is_null());
        }
        let text =
            |description: &str| json!({"description": description, "schema": {"type": "string"}});
        let headers = match status {
            "405" => json!({"Allow": text("The methods of this path that are allowed.")}),
            "429" | "503" => json!({"Retry-After": {
                "description": "How many seconds to wait.", "schema": {"type": "integer", "minimum": 1},
            }}),
            _ if takes_key && status < "400" => {
                json!({"Idempotency-Replayed": text("`true`: this is the stored response to the first request with this key.")})
            }
            _ => return,
        };
        response["headers"] = headers;
    }
}
