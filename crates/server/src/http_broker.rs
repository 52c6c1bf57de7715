//! `/api/v1/broker`: the local broker, its clients, its topics, and what is published now.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::response::sse::Event;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use tidegate_broker::{Delivery, Link, LinkError, LinkOptions, QoS};
use tidegate_core::Record;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::{self, Broker};
use crate::gateway::Shared;
use crate::http::{Refusal, refuse};
use crate::http_input::Query;
use crate::http_tap::sse;
use crate::message::Message;

/// Messages that wait for somebody who watches; what comes on top is dropped, for him only.
const WATCH_QUEUE_MAX: usize = 1024;

pub(crate) fn router() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::new()
        .routes(routes!(broker))
        .routes(routes!(clients))
        .routes(routes!(topics))
        .routes(routes!(messages))
}

fn local(shared: &Shared) -> Result<&tidegate_broker::Broker, Refusal> {
    let why = "the local broker is not in this process";
    shared.broker().ok_or_else(|| refuse(StatusCode::NOT_FOUND, why))
}

/// The local broker in numbers.
#[utoipa::path(get, path = "/broker", tag = "broker", responses((status = 200, body = Broker)))]
async fn broker(State(shared): State<Arc<Shared>>) -> Result<Json<Broker>, Refusal> {
    let broker = local(&shared)?;
    Ok(Json(Broker::of(&broker.stats(), broker.log_usage())))
}

#[derive(Serialize, ToSchema)]
struct Clients {
    clients: Vec<Client>,
}

/// A client that has a session.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Client {
    client_id: String,
    username: Option<String>,
    connected: bool,
    /// Null for clients in this process, such as data flows.
    address: Option<String>,
    subscriptions: Vec<String>,
    queued_messages: usize,
    queued_bytes: usize,
}

/// The sessions of the local broker, connected or not.
#[utoipa::path(get, path = "/broker/clients", tag = "broker", responses((status = 200, body = Clients)))]
async fn clients(State(shared): State<Arc<Shared>>) -> Result<Json<Clients>, Refusal> {
    let mut all = local(&shared)?.clients();
    all.sort_by(|a, b| a.client_id.cmp(&b.client_id));
    let client = |client: tidegate_broker::Client| Client {
        client_id: client.client_id,
        username: client.username,
        connected: client.connected,
        address: client.address.map(|address| address.to_string()),
        subscriptions: client.subscriptions,
        queued_messages: client.queued_messages,
        queued_bytes: client.queued_bytes,
    };
    Ok(Json(Clients { clients: all.into_iter().map(client).collect() }))
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Topics {
    /// Topics with a retained message, in order.
    retained: Vec<RetainedTopic>,
    /// Topic filters that somebody subscribes to, in order, shared ones as `$share/GROUP/FILTER`.
    subscriptions: Vec<Subscribed>,
}

#[derive(Serialize, ToSchema)]
struct RetainedTopic {
    topic: String,
    /// Bytes of the payload.
    bytes: usize,
}

#[derive(Serialize, ToSchema)]
struct Subscribed {
    filter: String,
    clients: usize,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct TopicFilter {
    /// An MQTT topic filter; `#` without it.
    filter: Option<String>,
}

/// The topics that the local broker knows: those with a retained message, and what is subscribed to. Topics that are
/// only published to leave no trace in a broker; `/broker/messages` shows them.
#[utoipa::path(get, path = "/broker/topics", tag = "broker", params(TopicFilter),
    responses((status = 200, body = Topics)))]
async fn topics(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<TopicFilter>,
) -> Result<Json<Topics>, Refusal> {
    let broker = local(&shared)?;
    let filter = query.filter.as_deref().unwrap_or("#");
    let retained = broker.retained(filter);
    let mut retained = retained.map_err(|e| refuse(StatusCode::BAD_REQUEST, format!("`filter`: {e}")))?;
    retained.sort();
    let mut subscriptions: BTreeMap<String, usize> = BTreeMap::new();
    for filter in broker.clients().into_iter().flat_map(|c| c.subscriptions) {
        *subscriptions.entry(filter).or_default() += 1;
    }
    Ok(Json(Topics {
        retained: retained.into_iter().map(|(topic, bytes)| RetainedTopic { topic, bytes }).collect(),
        subscriptions: subscriptions
            .into_iter()
            .map(|(filter, clients)| Subscribed { filter, clients })
            .collect(),
    }))
}

/// What is published to the local broker from now on, and what is retained, as server-sent events; each event's data is a
/// `Message`. Who reads too slowly misses some; nobody else does.
#[utoipa::path(get, path = "/broker/messages", tag = "broker", params(TopicFilter),
    responses((status = 200, content_type = "text/event-stream", body = api::Event)))]
async fn messages(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<TopicFilter>,
) -> Result<impl IntoResponse, Refusal> {
    let broker = local(&shared)?;
    let unavailable = |e: LinkError| match e {
        LinkError::Topic { .. } => refuse(StatusCode::BAD_REQUEST, e.to_string()),
        _ => refuse(StatusCode::SERVICE_UNAVAILABLE, e.to_string()),
    };
    let link = broker
        .attach(LinkOptions {
            clean_start: true,
            session_expiry: Some(std::time::Duration::ZERO),
            queue_messages_max: Some(WATCH_QUEUE_MAX),
            ..LinkOptions::new(format!("tidegate.watch.{}", shared.next_number()))
        })
        .await
        .map_err(unavailable)?;
    link.subscribe(query.filter.as_deref().unwrap_or("#"), QoS::AtMostOnce).map_err(unavailable)?;
    Ok(sse(stream::unfold(link, next).flat_map(stream::iter), &shared))
}

async fn next(mut link: Link) -> Option<(Vec<Event>, Link)> {
    let deliveries = link.next(WATCH_QUEUE_MAX).await.ok()?;
    link.ack(deliveries.len()).ok()?;
    let event = |delivery: Delivery| {
        let record = Record {
            properties: delivery.properties,
            retain: delivery.retain,
            expiry_interval: delivery.expiry_interval,
            ..Record::new(delivery.topic, delivery.payload, delivery.received_at)
        };
        Event::default()
            .data(serde_json::to_string(&Message::of(&record)).expect("a message has string keys only"))
    };
    Some((deliveries.into_iter().map(event).collect(), link))
}
