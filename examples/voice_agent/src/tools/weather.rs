//! The weather by Open-Meteo, which needs no key.
//!
//! Wire format: Open-Meteo's documentation, "Geocoding API" (`GET /v1/search`) and "Weather Forecast API"
//! (`GET /v1/forecast`, section "Current Conditions", and the table of WMO weather codes).

use super::LIMIT;
use crate::services::http;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

#[derive(Clone, Debug)]
pub(crate) struct Weather {
    http: reqwest::Client,
    geocoding: String,
    forecast: String,
}

impl Weather {
    pub(crate) fn new(http: reqwest::Client, geocoding: String, forecast: String) -> Self {
        Self {
            http,
            geocoding,
            forecast,
        }
    }

    pub(crate) async fn now(&self, city: &str) -> Result<Value, String> {
        let query = [("name", city), ("count", "1")];
        let places = self
            .get::<Places>(&self.geocoding, "/v1/search", &query)
            .await?;
        let place = places.results.into_iter().next();
        let place = place.ok_or_else(|| format!("there is no city `{city}`"))?;
        let (latitude, longitude) = (place.latitude.to_string(), place.longitude.to_string());
        let query = [
            ("latitude", latitude.as_str()),
            ("longitude", &longitude),
            ("current", "temperature_2m,weather_code"),
        ];
        let current = self
            .get::<Forecast>(&self.forecast, "/v1/forecast", &query)
            .await?
            .current;
        // Sorted, as serde_json has keys unless another crate of the build makes it keep their order.
        Ok(json!({
            "city": place.name,
            "conditions": conditions(current.weather_code),
            "temperature_celsius": current.temperature_2m,
        }))
    }

    async fn get<T: DeserializeOwned>(
        &self,
        base: &str,
        path: &'static str,
        query: &[(&str, &str)],
    ) -> Result<T, String> {
        let request = self.http.get(format!("{base}{path}")).query(query);
        let answered = http::send(request, path, LIMIT)
            .await
            .map_err(|failure| match failure {
                http::Failure::Timeout => "the weather service does not answer".to_owned(),
                http::Failure::Unsent(error) => {
                    let error = error.without_url();
                    format!("the weather service cannot be reached: {error}")
                }
            })?;
        if !answered.status().is_success() {
            return Err(format!(
                "the weather service answered {}",
                answered.status()
            ));
        }
        answered
            .json()
            .await
            .map_err(|error| format!("the weather service's answer: {}", error.without_url()))
    }
}

/// The groups of the WMO's code 4677 that Open-Meteo uses.
fn conditions(code: u8) -> &'static str {
    match code {
        0 => "clear",
        1 => "mostly clear",
        2 => "partly cloudy",
        3 => "overcast",
        45 | 48 => "foggy",
        51..=57 => "drizzling",
        61..=67 | 80..=82 => "rainy",
        71..=77 | 85 | 86 => "snowy",
        95..=99 => "stormy",
        _ => "unsettled",
    }
}

#[derive(Deserialize)]
struct Places {
    #[serde(default)]
    results: Vec<Place>,
}

#[derive(Deserialize)]
struct Place {
    name: String,
    latitude: f64,
    longitude: f64,
}

#[derive(Deserialize)]
struct Forecast {
    current: Current,
}

#[derive(Deserialize)]
struct Current {
    temperature_2m: f64,
    weather_code: u8,
}
