//! Where one description promises less, or asks for more, than another.

use std::collections::BTreeMap;

use serde_json::Value;

use super::shape::{Document, Field, Shape, list};

/// One difference, in words that a table can name.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Difference {
    /// Method and path, without the names of the parameters: `GET /users/{}`.
    pub operation: String,
    /// What differs there.
    pub what: String,
}

/// The methods that an operation may have.
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Everything in `ours` that a client written for `theirs` would stumble over.
pub fn differences(theirs: &Value, ours: &Value) -> Vec<Difference> {
    let (theirs, ours) = (Document(theirs), Document(ours));
    let known = operations(ours);
    let mut found = Vec::new();
    for (operation, (their_path, their_operation)) in operations(theirs) {
        let mut add = |what: String| {
            let operation = operation.clone();
            found.push(Difference { operation, what });
        };
        let Some((our_path, our_operation)) = known.get(&operation) else {
            add("absent".to_owned());
            continue;
        };
        let their_parameters = parameters(theirs, their_path, their_operation);
        let our_parameters = parameters(ours, our_path, our_operation);
        compare_parameters(&their_parameters, &our_parameters, &mut add);
        compare_requests(
            &request(theirs, their_operation),
            &request(ours, our_operation),
            &mut add,
        );
        let our_responses = responses(ours, our_operation);
        for (status, response) in responses(theirs, their_operation) {
            match our_responses.get(&status) {
                None => add(format!("success {status}: absent")),
                Some(our_response) => compare_responses(&response, our_response, &mut add),
            }
        }
    }
    found.sort();
    found.dedup();
    found
}

/// An operation with what its path says for all of its methods.
type Operation<'a> = (&'a Value, &'a Value);

/// The operations by method and path.
fn operations(document: Document<'_>) -> BTreeMap<String, Operation<'_>> {
    let paths = document.0["paths"].as_object().expect("paths");
    let mut operations = BTreeMap::new();
    for (path, item) in paths {
        let path = nameless(path);
        for method in METHODS {
            if let Some(operation) = item.get(method) {
                operations.insert(
                    format!("{} {path}", method.to_uppercase()),
                    (item, operation),
                );
            }
        }
    }
    operations
}

/// A path without the names of its parameters.
fn nameless(path: &str) -> String {
    let segments = path.split('/').map(|segment| {
        if segment.starts_with('{') {
            "{}"
        } else {
            segment
        }
    });
    segments.collect::<Vec<_>>().join("/")
}

/// The parameters outside the path, by place and name, and whether they are required.
fn parameters<'a>(
    document: Document<'a>,
    path: &'a Value,
    operation: &'a Value,
) -> BTreeMap<String, bool> {
    let all = list(&path["parameters"]).chain(list(&operation["parameters"]));
    let all = all.map(|parameter| document.resolve(parameter));
    let named = all.filter(|parameter| parameter["in"] != "path");
    named
        .map(|parameter| {
            let place = parameter["in"].as_str().expect("a place");
            let name = parameter["name"].as_str().expect("a name");
            let name = match place {
                "header" => name.to_lowercase(),
                _ => name.to_owned(),
            };
            (format!("{place} {name}"), parameter["required"] == true)
        })
        .collect()
}

fn compare_parameters(
    theirs: &BTreeMap<String, bool>,
    ours: &BTreeMap<String, bool>,
    add: &mut impl FnMut(String),
) {
    for (name, required) in theirs {
        match (required, ours.get(name)) {
            (_, None) => add(format!("{name}: absent")),
            (true, Some(false)) => add(format!("{name}: not required")),
            (false, Some(true)) => add(format!("{name}: required")),
            _ => {}
        }
    }
    for (name, required) in ours {
        if *required && !theirs.contains_key(name) {
            add(format!("{name}: required"));
        }
    }
}

/// The fields of the body; none if there is no body.
fn request<'a>(document: Document<'a>, operation: &'a Value) -> Shape {
    content(document, document.resolve(&operation["requestBody"]))
}

/// The fields of each success, by its status; none where there is no body.
fn responses<'a>(document: Document<'a>, operation: &'a Value) -> BTreeMap<&'a str, Shape> {
    let responses = operation["responses"].as_object().expect("responses");
    let successes = responses
        .iter()
        .filter(|(status, _)| status.starts_with('2'));
    successes
        .map(|(status, response)| {
            (
                status.as_str(),
                content(document, document.resolve(response)),
            )
        })
        .collect()
}

/// The fields of a body, in its first media type; each has the same.
fn content<'a>(document: Document<'a>, body: &'a Value) -> Shape {
    let types = body["content"].as_object();
    let first = types.and_then(|types| types.values().next());
    first.map_or_else(Shape::new, |media| document.shape(&media["schema"]))
}

/// What they accept we have to accept, and we may not ask for more.
fn compare_requests(theirs: &Shape, ours: &Shape, add: &mut impl FnMut(String)) {
    for (path, field) in theirs {
        let Some(our) = ours.get(path) else {
            add(format!("request {}: absent", named(path)));
            continue;
        };
        let name = named(path);
        match (field.required, our.required) {
            (true, false) => add(format!("request {name}: not required")),
            (false, true) => add(format!("request {name}: required")),
            _ => {}
        }
        let accepts = our.types.is_empty() || our.types.is_superset(&field.types);
        if !accepts {
            add(format!("request {name}: {}", types(field, our)));
        }
        if let (Some(all), Some(known)) = (&field.values, &our.values) {
            for value in all.difference(known) {
                add(format!("request {name}: not {value}"));
            }
        }
    }
    for (path, our) in ours {
        if our.required && !theirs.contains_key(path) {
            add(format!("request {}: required", named(path)));
        }
    }
}

/// Our responses must have every field of theirs, with the same types.
fn compare_responses(theirs: &Shape, ours: &Shape, add: &mut impl FnMut(String)) {
    for (path, field) in theirs {
        let Some(our) = ours.get(path) else {
            add(format!("response {}: absent", named(path)));
            continue;
        };
        let name = named(path);
        if !field.types.is_empty() && field.types != our.types {
            add(format!("response {name}: {}", types(field, our)));
        }
        if our.nullable && !field.nullable {
            add(format!("response {name}: may be null"));
        }
        if let (Some(all), Some(known)) = (&field.values, &our.values) {
            for value in known.difference(all) {
                add(format!("response {name}: also {value}"));
            }
        }
    }
}

/// A path as people read it.
fn named(path: &str) -> &str {
    match path.strip_prefix('.').unwrap_or(path) {
        "" => "body",
        name => name,
    }
}

fn types(their: &Field, our: &Field) -> String {
    let words = |field: &Field| {
        let types: Vec<&str> = field.types.iter().map(String::as_str).collect();
        match types.is_empty() {
            true => "anything".to_owned(),
            false => types.join(" or "),
        }
    };
    format!("{} instead of {}", words(our), words(their))
}
