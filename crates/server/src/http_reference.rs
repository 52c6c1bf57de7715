//! `/api/v1/reference`: the fields of resources and the functions of the language, for forms and completion.

use std::sync::Arc;

use axum::Json;
use serde::Serialize;
use tidegate_expr::FUNCTIONS;
use tidegate_model::reference::{self, FieldDoc};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::gateway::Shared;

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new().routes(routes!(reference))
}

#[derive(Serialize, ToSchema)]
struct Reference {
    kinds: Vec<KindReference>,
    functions: Vec<FunctionReference>,
}

#[derive(Serialize, ToSchema)]
struct KindReference {
    kind: &'static str,
    /// Those below `spec` of a Kubernetes manifest.
    fields: Vec<FieldReference>,
}

#[derive(Serialize, ToSchema)]
#[schema(no_recursion)]
struct FieldReference {
    name: &'static str,
    /// A sentence of what it is for.
    doc: &'static str,
    /// What its value is, in words.
    wants: String,
    required: bool,
    /// Whether it is a list.
    list: bool,
    /// The words it may be, if it is one of several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    choices: Vec<String>,
    /// What it is taken for when it is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<String>,
    /// Those of an object, or of each object in a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<Vec<FieldReference>>,
}

/// A function of the language.
#[derive(Serialize, ToSchema)]
struct FunctionReference {
    name: &'static str,
    /// Such as `scale(value, srcLo, srcHi, dstLo, dstHi)`.
    usage: String,
    doc: &'static str,
}

impl From<FieldDoc> for FieldReference {
    fn from(field: FieldDoc) -> Self {
        Self {
            name: field.name,
            doc: field.doc,
            wants: field.wants,
            required: field.required,
            list: field.is_list,
            choices: field.choices,
            default: field.default,
            fields: field.fields.map(|fields| fields.into_iter().map(Self::from).collect()),
        }
    }
}

/// The fields of every kind of resource, and the functions of formulas. They are those of this version of tidegate.
#[utoipa::path(get, path = "/reference", tag = "try", responses((status = 200, body = Reference)))]
async fn reference() -> Json<Reference> {
    let kind = |(kind, fields): (tidegate_model::Kind, Vec<FieldDoc>)| KindReference {
        kind: kind.as_str(),
        fields: fields.into_iter().map(FieldReference::from).collect(),
    };
    let functions = FUNCTIONS.iter().filter(|f| !f.graphs_only());
    let function =
        |f: &tidegate_expr::Signature| FunctionReference { name: f.name, usage: f.usage(), doc: f.summary };
    Json(Reference {
        kinds: reference::kinds().into_iter().map(kind).collect(),
        functions: functions.map(function).collect(),
    })
}
