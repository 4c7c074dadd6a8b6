//! The description as a page: no script, one style, nothing from elsewhere.

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::api_groups::API_GROUPS;
use super::guide::{self, Snippet, Status};

/// How deep fields of fields are shown.
const DEPTH: usize = 4;

/// The page and the content policy that allows its style.
pub struct Page {
    /// The document.
    pub html: String,
    /// The policy (Content Security Policy Level 3).
    pub policy: String,
}

#[derive(Template)]
#[template(path = "docs.html")]
struct Docs<'a> {
    style: &'static str,
    title: &'a str,
    version: &'a str,
    description: &'a str,
    connect: &'static [Snippet],
    verify: &'static [Snippet],
    events: Vec<Told<'a>>,
    statuses: Vec<Status>,
    schemes: Vec<Scheme<'a>>,
    groups: Vec<Group<'a>>,
}

struct Told<'a> {
    name: &'a str,
    when: &'a str,
    fields: Vec<Row>,
    example: String,
}

struct Scheme<'a> {
    name: &'a str,
    how: String,
    description: &'a str,
}

struct Group<'a> {
    name: &'static str,
    anchor: String,
    description: &'a str,
    operations: Vec<Operation<'a>>,
}

struct Operation<'a> {
    id: &'a str,
    method: String,
    path: &'a str,
    summary: &'a str,
    description: &'a str,
    security: Vec<&'a str>,
    parameters: Vec<Row>,
    body: Vec<Row>,
    example: String,
    responses: Vec<DocumentedResponse<'a>>,
    errors: Vec<DocumentedResponse<'a>>,
}

struct DocumentedResponse<'a> {
    status: &'a str,
    description: &'a str,
    headers: String,
    fields: Vec<Row>,
    example: String,
}

struct Row {
    name: String,
    kind: String,
    required: bool,
    description: String,
}

/// Shows a document.
pub fn render(document: &Value) -> Page {
    let style = include_str!("../../../templates/docs.css");
    let shown = Shown { document };
    let docs = Docs {
        style,
        title: text(&document["info"]["title"]),
        version: text(&document["info"]["version"]),
        description: text(&document["info"]["description"]),
        connect: &guide::CONNECT,
        verify: &guide::VERIFY,
        events: shown.events(),
        statuses: guide::statuses(),
        schemes: shown.schemes(),
        groups: shown.groups(),
    };
    let hash = BASE64_STANDARD.encode(digest(&SHA256, style.as_bytes()));
    Page {
        html: docs.render().expect("the template takes any text"),
        policy: format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; \
             frame-ancestors 'none'"
        ),
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A document about to be shown.
struct Shown<'a> {
    document: &'a Value,
}

impl<'a> Shown<'a> {
    fn events(&self) -> Vec<Told<'a>> {
        let told = |event: guide::Event<'a>| Told {
            name: event.name,
            when: event.when,
            fields: self.fields(event.schema),
            example: self.example(event.schema),
        };
        guide::events(self.document).into_iter().map(told).collect()
    }

    fn schemes(&self) -> Vec<Scheme<'a>> {
        let schemes = entries(&self.document["components"]["securitySchemes"]);
        let scheme = |(name, scheme): (&'a String, &'a Value)| Scheme {
            name,
            how: match (text(&scheme["name"]), text(&scheme["scheme"])) {
                ("", scheme) => format!("Authorization: {scheme}"),
                (header, _) => format!("{header} header"),
            },
            description: text(&scheme["description"]),
        };
        schemes.map(scheme).collect()
    }

    fn groups(&self) -> Vec<Group<'a>> {
        let descriptions = &self.document["tags"];
        let group = |name: &'static str| {
            let tag = items(descriptions).find(|tag| tag["name"] == name);
            let all = entries(&self.document["paths"]).flat_map(|(path, item)| {
                entries(item).map(move |(method, operation)| (path, method, operation))
            });
            let own = all.filter(|(.., operation)| operation["tags"][0] == name);
            Group {
                name,
                anchor: name.to_lowercase().replace(' ', "-"),
                description: tag.map_or("", |tag| text(&tag["description"])),
                operations: own
                    .map(|(path, method, operation)| self.operation(path, method, operation))
                    .collect(),
            }
        };
        API_GROUPS.iter().map(|it| group(it.tag)).collect()
    }

    fn operation(&self, path: &'a str, method: &str, operation: &'a Value) -> Operation<'a> {
        let body = &operation["requestBody"]["content"];
        let schema = entries(body)
            .next()
            .map_or(&Value::Null, |(_, it)| &it["schema"]);
        let (errors, responses): (Vec<_>, Vec<_>) = entries(&operation["responses"])
            .map(|(status, response)| self.response(status, response))
            .partition(|response| response.status >= "400");
        Operation {
            id: text(&operation["operationId"]),
            method: method.to_uppercase(),
            path,
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            security: items(&operation["security"])
                .flat_map(|scheme| entries(scheme).map(|(name, _)| name.as_str()))
                .collect(),
            parameters: items(&operation["parameters"])
                .map(|parameter| self.parameter(parameter))
                .collect(),
            body: self.fields(schema),
            example: self.example(schema),
            responses,
            errors,
        }
    }

    fn parameter(&self, parameter: &Value) -> Row {
        Row {
            name: text(&parameter["name"]).to_owned(),
            kind: format!(
                "{}, {}",
                text(&parameter["in"]),
                self.kind(&parameter["schema"])
            ),
            required: parameter["required"] == true,
            description: text(&parameter["description"]).to_owned(),
        }
    }

    fn response(&self, status: &'a str, response: &'a Value) -> DocumentedResponse<'a> {
        let content = entries(&response["content"]).next();
        let schema = content.map_or(&Value::Null, |(_, it)| &it["schema"]);
        // The envelopes of errors are shown once.
        let is_error = status >= "400";
        let headers: Vec<&str> = entries(&response["headers"])
            .map(|(name, _)| name.as_str())
            .collect();
        DocumentedResponse {
            status,
            description: text(&response["description"]),
            headers: headers.join(", "),
            fields: if is_error {
                Vec::new()
            } else {
                self.fields(schema)
            },
            example: if is_error {
                String::new()
            } else {
                self.example(schema)
            },
        }
    }

    /// The schema itself, if it is a reference.
    fn resolved<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let named = schema["$ref"]
            .as_str()
            .and_then(|name| name.strip_prefix('#'));
        match named.and_then(|pointer| self.document.pointer(pointer)) {
            Some(found) => found,
            None => schema,
        }
    }

    /// The reference in a `oneOf` of null and a reference.
    fn solid<'s>(&'s self, schema: &'s Value) -> &'s Value {
        let schema = self.resolved(schema);
        let choices = items(&schema["oneOf"]).chain(items(&schema["anyOf"]));
        match choices.into_iter().find(|choice| choice["type"] != "null") {
            Some(choice) => self.solid(choice),
            None => schema,
        }
    }

    fn properties<'s>(&'s self, schema: &'s Value) -> Vec<(&'s String, &'s Value, bool)> {
        let schema = self.solid(schema);
        let mut all = Vec::new();
        for part in items(&schema["allOf"]) {
            all.extend(self.properties(part));
        }
        let required = |name: &str| items(&schema["required"]).any(|it| it == name);
        let own = entries(&schema["properties"]);
        all.extend(own.map(|(name, property)| (name, property, required(name))));
        all.sort_by_key(|(name, ..)| name.as_str());
        all
    }

    /// A row for each field, those of fields below them.
    fn fields(&self, schema: &Value) -> Vec<Row> {
        let mut rows = Vec::new();
        self.add_fields("", schema, DEPTH, &mut rows);
        rows
    }

    fn add_fields(&self, prefix: &str, schema: &Value, depth: usize, rows: &mut Vec<Row>) {
        if depth == 0 {
            return;
        }
        for (name, property, required) in self.properties(schema) {
            let name = format!("{prefix}{name}");
            let solid = self.solid(property);
            let described = [property, solid]
                .into_iter()
                .find_map(|it| it["description"].as_str());
            rows.push(Row {
                name: name.clone(),
                kind: self.kind(property),
                required,
                description: described.unwrap_or_default().to_owned(),
            });
            let inner = match solid.get("items") {
                Some(inner) => (format!("{name}[]."), inner),
                None => (format!("{name}."), solid),
            };
            self.add_fields(&inner.0, inner.1, depth - 1, rows);
        }
    }

    /// A type in a few words, with its limits.
    fn kind(&self, schema: &Value) -> String {
        let solid = self.solid(schema);
        let types = match &solid["type"] {
            Value::String(one) => one.clone(),
            Value::Array(several) => {
                let names: Vec<&str> = several.iter().map(text).collect();
                names.join(" or ")
            }
            _ => "object".to_owned(),
        };
        let mut words = match solid.get("items") {
            Some(inner) => format!("{types} of {}", self.kind(inner)),
            None => types,
        };
        let choices: Vec<&str> = items(&solid["enum"]).filter_map(Value::as_str).collect();
        if !choices.is_empty() {
            words = format!("{words}: {}", choices.join(", "));
        }
        for (limit, sign) in [
            ("minimum", "≥"),
            ("maximum", "≤"),
            ("maxLength", "length ≤"),
        ] {
            if let Some(number) = solid[limit].as_number() {
                words = format!("{words}, {sign} {number}");
            }
        }
        words
    }

    fn example(&self, schema: &Value) -> String {
        match self.sample(schema, DEPTH) {
            Value::Object(fields) if !fields.is_empty() => format!("{:#}", Value::Object(fields)),
            _ => String::new(),
        }
    }

    fn sample(&self, schema: &Value, depth: usize) -> Value {
        if let Some(example) = schema.get("example") {
            return example.clone();
        }
        let solid = self.solid(schema);
        if let Some(example) = solid.get("example") {
            return example.clone();
        }
        if let Some(choice) = items(&solid["enum"]).next() {
            return choice.clone();
        }
        if depth == 0 {
            return Value::Null;
        }
        if let Some(inner) = solid.get("items") {
            return Value::Array(vec![self.sample(inner, depth - 1)]);
        }
        let is = |kind: &str| solid["type"] == kind || items(&solid["type"]).any(|it| it == kind);
        if is("boolean") {
            return Value::Bool(false);
        }
        let properties = self.properties(schema);
        let fields = properties.into_iter().map(|(name, property, _)| {
            let value = self.sample(property, depth - 1);
            (name.clone(), value)
        });
        Value::Object(fields.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes::DESCRIPTION;

    #[test]
    fn every_operation_is_on_the_page_and_nothing_is_from_elsewhere() {
        let document = &DESCRIPTION.document;
        let Page { html, policy } = render(document);
        let paths = document["paths"].as_object().expect("paths");
        for path in paths.keys() {
            assert!(html.contains(path.as_str()), "{path}");
        }
        for foreign in ["<script", "src=", "<link", "@import", "url("] {
            assert!(!html.contains(foreign), "{foreign}");
        }
        assert!(policy.contains("style-src 'sha256-"), "{policy}");
    }
}
