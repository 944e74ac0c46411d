//! The description of the API, made from the code: as OpenAPI 3.1 for programs, and as a page for people. The page is plain
//! HTML with a style sheet of its own and loads nothing from anywhere else.

use super::problem;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::{Map, Value, json};
use std::fmt::Write;
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema, ToSchema};

const STYLE: &str = include_str!("description.css");
const TITLE: &str = "Consilium API";
const INTRODUCTION: &str = "Schedule meetings, invite people and follow what happens. Send an API key as \
     `Authorization: Bearer ck_…`; make the first one with `consilium api-key create`. Who signed in has a session in a cookie, which works for our own pages \
     alone: a change within it needs the header `Consilium-Request` and comes from the same origin. People in a meeting send their token of it \
     instead, and act there by their role as it is at that moment. Refusals are problem details (RFC 9457) \
     with a stable `code`. Lists come in pages: send `next` of one page as `cursor` for the following one. A change needs \
     `If-Match` with the ETag of what you read. Send an `Idempotency-Key` with whatever creates, and the same request may be \
     sent again within 24 hours without creating twice.";

const SESSION: &str = "Set by signing in; with TLS its name begins with `__Host-`. Every method but GET and HEAD also needs the \
     header `Consilium-Request`, and `Sec-Fetch-Site: same-origin` or this site's `Origin`, or it is refused as `cross_site`.";

/// Answers that any route may give, by status.
const EVERYWHERE: &[(&str, &str)] = &[
    ("400", "The request is not of the right form."),
    ("429", "Too many requests."),
    ("500", "The server failed."),
    ("503", "The server is busy, or its database cannot be reached."),
];
const WITH_CALLER: &[(&str, &str)] =
    &[("401", "No valid API key or token."), ("403", "The caller lacks the scope or the role.")];
const WITH_BODY: &[(&str, &str)] = &[
    ("413", "The body is too large."),
    ("415", "The body is not application/json."),
    ("422", "A field is missing or has a value that cannot be."),
];
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

pub(super) fn router(collected: OpenApi) -> Router {
    let description = complete(collected);
    let (page, text) = (page(&description), description.to_string());
    Router::new()
        .route("/api/v1/openapi.json", get(async || ([(CONTENT_TYPE, "application/json")], text).into_response()))
        .route("/api/v1/docs", get(async || ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()))
        .route("/api/v1/docs.css", get(async || ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE).into_response()))
}

/// Adds what is true of every route: the answers that any may give, and how to say who is calling.
fn complete(collected: OpenApi) -> Value {
    let mut description = serde_json::to_value(collected).unwrap_or_default();
    description["info"] = json!({
        "title": TITLE,
        "description": INTRODUCTION,
        "version": env!("CARGO_PKG_VERSION"),
        "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    });
    let mut schemas = vec![(problem::ProblemBody::name().into_owned(), problem::ProblemBody::schema())];
    problem::ProblemBody::schemas(&mut schemas);
    for (name, schema) in schemas {
        description["components"]["schemas"][name] = json!(schema);
    }
    let codes: Vec<_> = problem::Code::ALL.iter().map(|code| code.word()).collect();
    description["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(codes);
    drop_null_defaults(&mut description["components"]["schemas"]);
    description["components"]["securitySchemes"] = json!({
        "api_key": {"type": "http", "scheme": "bearer"},
        "session": {"type": "apiKey", "in": "cookie", "name": "consilium-session", "description": SESSION},
    });
    description["security"] = json!([{"api_key": []}, {"session": []}]);
    for (_, _, operation) in operations_mut(&mut description) {
        let is_open = operation.get("security").is_some();
        let has_body = operation.contains_key("requestBody");
        let answers = operation.entry("responses").or_insert_with(|| json!({}));
        let applies = [(EVERYWHERE, true), (WITH_CALLER, !is_open), (WITH_BODY, has_body)];
        for (status, text) in applies.into_iter().filter(|(_, applies)| *applies).flat_map(|(list, _)| list) {
            if answers.get(status).is_none() {
                answers[*status] = json!({"description": text, "content": refusal()});
            }
        }
        for (status, answer) in answers.as_object_mut().into_iter().flatten() {
            // The derive knows the type of the body, and not that it is sent under another name.
            if status.starts_with(['4', '5']) {
                answer["content"] = refusal();
            }
            // A header that is described is always sent, which the derive has no word for.
            for header in answer.get_mut("headers").and_then(Value::as_object_mut).into_iter().flat_map(Map::values_mut)
            {
                header["required"] = true.into();
            }
            if answer["description"].as_str().is_none_or(str::is_empty) {
                answer["description"] = reason(status).into();
            }
        }
    }
    description
}

/// The derive takes "may be absent" for a default of `null`, which most of these fields do not take.
fn drop_null_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            fields.retain(|name, value| name != "default" || !value.is_null());
            fields.values_mut().for_each(drop_null_defaults);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_null_defaults),
        _ => {}
    }
}

fn refusal() -> Value {
    json!({problem::MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}})
}

fn reason(status: &str) -> &'static str {
    let status = status.parse().ok().and_then(|code| axum::http::StatusCode::from_u16(code).ok());
    status.and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// Path, method and operation of each.
fn operations_mut(description: &mut Value) -> impl Iterator<Item = (&str, &str, &mut Map<String, Value>)> {
    let paths = description["paths"].as_object_mut().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let methods = item.as_object_mut().into_iter().flatten();
        methods.filter_map(|(method, operation)| {
            let is_method = METHODS.contains(&method.as_str());
            is_method.then(|| Some((path.as_str(), method.as_str(), operation.as_object_mut()?))).flatten()
        })
    })
}

fn page(description: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{TITLE}</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><link rel=\"stylesheet\" href=\"/api/v1/docs.css\"></head>\
         <body><main><h1>{TITLE}</h1><p>{}</p><p><a href=\"/api/v1/openapi.json\">The same as OpenAPI 3.1</a></p>",
        prose(INTRODUCTION)
    );
    let mut description = description.clone();
    let schemas = description["components"]["schemas"].clone();
    for (path, method, operation) in operations_mut(&mut description) {
        write_operation(&mut html, path, method, operation);
    }
    html.push_str("<h2>Schemas</h2>");
    for (name, schema) in schemas.as_object().into_iter().flatten() {
        let text = serde_json::to_string_pretty(schema).unwrap_or_default();
        let _ = write!(
            html,
            "<details id=\"{0}\"><summary>{0}</summary><pre>{1}</pre></details>",
            escape(name),
            escape(&text)
        );
    }
    html.push_str("</main></body></html>");
    html
}

fn write_operation(html: &mut String, path: &str, method: &str, operation: &Map<String, Value>) {
    let text = |value: &Value| value.as_str().map(prose).unwrap_or_default();
    let summary = operation.get("summary").map(text).unwrap_or_default();
    // Writing to a String does not fail.
    let _ = write!(
        html,
        "<section><h2><span class=\"method\">{}</span> <code>{}</code></h2><p>{summary}</p>",
        method.to_uppercase(),
        escape(path)
    );
    let parameters = operation.get("parameters").and_then(Value::as_array).into_iter().flatten();
    let parameters: Vec<_> = parameters.collect();
    if !parameters.is_empty() {
        html.push_str("<h3>Parameters</h3><table><tr><th>Name<th>In<th>Required<th>Meaning</tr>");
        for parameter in parameters {
            let required = if parameter["required"] == true { "yes" } else { "no" };
            let _ = write!(
                html,
                "<tr><td><code>{}</code><td>{}<td>{required}<td>{}</tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                text(&parameter["description"])
            );
        }
        html.push_str("</table>");
    }
    if let Some(body) = operation.get("requestBody") {
        let _ = write!(html, "<h3>Body</h3><p>{}</p>", schema_link(&body["content"]));
    }
    html.push_str("<h3>Answers</h3><table><tr><th>Status<th>Meaning<th>Body</tr>");
    for (status, answer) in operation.get("responses").and_then(Value::as_object).into_iter().flatten() {
        let (meaning, link) = (text(&answer["description"]), schema_link(&answer["content"]));
        let _ = write!(html, "<tr><td>{}<td>{meaning}<td>{link}</tr>", escape(status));
    }
    html.push_str("</table></section>");
}

/// The first schema that a content names.
fn schema_link(content: &Value) -> String {
    let schema = content.as_object().and_then(|content| content.values().next()).map(|content| &content["schema"]);
    let name = schema.and_then(|schema| schema["$ref"].as_str()).and_then(|path| path.rsplit('/').next());
    match (name, schema) {
        (Some(name), _) => format!("<a href=\"#{0}\">{0}</a>", escape(name)),
        (None, Some(schema)) => format!("<code>{}</code>", escape(&schema.to_string())),
        (None, None) => String::new(),
    }
}

/// Text with `code` in it.
fn prose(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts
        .map(|(index, part)| if index % 2 == 1 { format!("<code>{}</code>", escape(part)) } else { escape(part) })
        .collect()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_the_description_becomes_markup() {
        assert_eq!(prose("a `<b>` & \"c\""), "a <code>&lt;b&gt;</code> &amp; &quot;c&quot;");
    }
}
