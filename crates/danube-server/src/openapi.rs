//! The API's description, OpenAPI 3.1, made from the table of routes.

use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use crate::answer::Json;
use crate::permission::Permission;
use crate::problem::ErrorBody;
use crate::routes::{Kind, Route, api_routes};
use utoipa::{PartialSchema as _, ToSchema as _};

/// Gives the description.
pub(crate) async fn serve() -> Json<&'static Value> {
    static DESCRIPTION: OnceLock<Value> = OnceLock::new();
    Json(DESCRIPTION.get_or_init(|| describe(&api_routes())))
}

fn describe(routes: &[Route]) -> Value {
    let (mut paths, mut schemas) = (Map::new(), Map::new());
    add_errors(&mut schemas);
    for route in routes {
        let operations = paths.entry(path(route.path)).or_insert_with(|| json!({}));
        operations[route.method] = operation(route);
        route.takes.iter().chain(&route.gives.kind).for_each(|kind| add(&mut schemas, kind));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Danube",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Times are milliseconds since the Unix epoch. Every error is an ErrorBody.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "token": { "type": "http", "scheme": "bearer" },
                "cookie": { "type": "apiKey", "in": "cookie", "name": crate::auth::COOKIE },
            },
        },
    })
}

fn add_errors(schemas: &mut Map<String, Value>) {
    let mut parts = Vec::new();
    ErrorBody::schemas(&mut parts);
    add(schemas, &Kind { name: ErrorBody::name().into_owned(), schema: ErrorBody::schema(), parts });
}

fn add(schemas: &mut Map<String, Value>, kind: &Kind) {
    let whole = std::iter::once((&kind.name, &kind.schema));
    for (name, schema) in whole.chain(kind.parts.iter().map(|(name, schema)| (name, schema))) {
        schemas.insert(name.clone(), json!(schema));
    }
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "summary": route.summary,
        "operationId": operation_id(route),
        "parameters": parameters(route),
        "responses": {
            route.gives.status.to_string(): answer(route),
            "default": {
                "description": "It cannot be done; the code and the message say why",
                "content": { "application/json": { "schema": reference(&ErrorBody::name()) } },
            },
        },
        "x-permission": route.permission.as_str(),
        "security": security(route.permission),
    });
    if let Some(kind) = &route.takes {
        let content = json!({ "application/json": { "schema": reference(&kind.name) } });
        operation["requestBody"] = json!({ "required": false, "content": content });
    }
    operation
}

fn security(permission: Permission) -> Value {
    if permission == Permission::Public { json!([]) } else { json!([{ "token": [] }, { "cookie": [] }]) }
}

fn answer(route: &Route) -> Value {
    let content = match &route.gives.kind {
        Some(kind) => json!({ route.gives.media: { "schema": reference(&kind.name) } }),
        None => json!({ route.gives.media: {} }),
    };
    json!({ "description": route.summary, "content": content })
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn parameters(route: &Route) -> Vec<Value> {
    let in_path = names(route.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }));
    let in_query = route.query.iter().map(|(name, meaning)| {
        json!({ "name": name, "in": "query", "required": false, "description": meaning, "schema": { "type": "string" } })
    });
    in_path.chain(in_query).collect()
}

/// The names of the variable parts of a path.
fn names(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    parts.map(|name| name.trim_start_matches('*'))
}

/// A path as OpenAPI writes it.
fn path(path: &str) -> String {
    path.replace("{*", "{")
}

/// `get_api_v1_jobs_id`: one for each route.
fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(route.method).chain(words).collect::<Vec<_>>().join("_")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn described(description: &Value) -> BTreeSet<(String, String)> {
        let paths = description["paths"].as_object().unwrap();
        let pairs = paths.iter().flat_map(|(path, operations)| {
            operations.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
        });
        pairs.collect()
    }

    #[test]
    fn the_description_has_the_routes_and_no_others() {
        let table: Vec<_> = api_routes().iter().map(|route| (route.method.to_owned(), path(route.path))).collect();
        let set: BTreeSet<_> = table.iter().cloned().collect();
        assert_eq!(set.len(), table.len(), "no route is there twice");
        assert_eq!(described(&describe(&api_routes())), set);
    }

    #[test]
    fn every_reference_leads_to_a_schema_and_every_name_is_there_once() {
        let description = describe(&api_routes());
        let text = description.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap();
            assert!(description["components"]["schemas"][name].is_object(), "{name}");
        }
        let mut ids = BTreeSet::new();
        for route in api_routes() {
            assert!(ids.insert(operation_id(&route)), "{}", route.path);
            assert!(!route.summary.is_empty(), "{}", route.path);
        }
    }

    #[test]
    fn only_these_routes_are_for_everybody_and_what_changes_things_is_not_for_who_only_looks() {
        let public: Vec<_> = api_routes().into_iter().filter(|route| route.permission == Permission::Public).collect();
        let paths: Vec<_> = public.iter().map(|route| route.path).collect();
        assert_eq!(paths, ["/health", "/health/ready"]);
        assert!(api_routes().iter().all(|route| (route.method == "get") == (route.permission < Permission::Write)));
    }
}
