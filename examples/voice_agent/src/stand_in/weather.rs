//! Stands in for Open-Meteo: a handful of cities, and weather that the seed decides.

use super::faults::{Kind, Provider};
use super::{Chance, Shared};
use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use rand::Rng;
use serde::Deserialize;
use serde_json::json;
use std::sync::Arc;

const CITIES: [(&str, f64, f64); 6] = [
    ("Paris", 48.85341, 2.3488),
    ("London", 51.50853, -0.12574),
    ("Berlin", 52.52437, 13.41053),
    ("New York", 40.71427, -74.00597),
    ("Tokyo", 35.6895, 139.69171),
    ("Sydney", -33.86785, 151.20732),
];

#[derive(Deserialize)]
pub(super) struct Search {
    name: String,
}

pub(super) async fn search(
    State(shared): State<Arc<Shared>>,
    Query(search): Query<Search>,
) -> Response {
    if let Some(refusal) = delay(&shared).await {
        return refusal;
    }
    let found = CITIES
        .iter()
        .find(|(name, ..)| name.eq_ignore_ascii_case(search.name.trim()));
    let results = found.map(|(name, latitude, longitude)| {
        json!([{"id": 1, "name": name, "latitude": latitude, "longitude": longitude}])
    });
    match results {
        Some(results) => {
            Json(json!({"results": results, "generationtime_ms": 0.5})).into_response()
        }
        None => Json(json!({"generationtime_ms": 0.5})).into_response(),
    }
}

#[derive(Deserialize)]
pub(super) struct Forecast {
    latitude: f64,
    longitude: f64,
}

pub(super) async fn forecast(
    State(shared): State<Arc<Shared>>,
    Query(at): Query<Forecast>,
) -> Response {
    if let Some(refusal) = delay(&shared).await {
        return refusal;
    }
    // Nobody asks twice and hears something else.
    let Chance(mut chance) = shared.chance_of(at.latitude.to_bits());
    let temperature = f64::from(chance.random_range(90..260)) / 10.0;
    Json(json!({
        "latitude": at.latitude,
        "longitude": at.longitude,
        "current_units": {"temperature_2m": "°C", "weather_code": "wmo code"},
        "current": {"temperature_2m": temperature, "weather_code": 2},
    }))
    .into_response()
}

async fn delay(shared: &Shared) -> Option<Response> {
    let wait = shared
        .chance(Provider::Weather, "")
        .around(shared.behaviour.delays.weather);
    shared.pace().sleep(wait).await;
    match shared.faults.next(Provider::Weather, "")? {
        Kind::Status(status) => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Some((status, Json(json!({"error": true, "reason": "planned"}))).into_response())
        }
        _ => None,
    }
}
