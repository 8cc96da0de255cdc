//! The list of procedures, and the clerk's inquiries of today.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{App, Instead, failed, html, log, signed_in};
use crate::bus::{self, Health};
use crate::page::{self, Card, DayLine};

pub(super) async fn procedures(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    let known = app.bus.known().await.inspect_err(|error| log(error));
    let known = known.map_err(|error| failed(&error, language, &session))?;
    let health = app.bus.health(&known.procedures).await;
    let cards: Vec<Card<'_>> = known
        .procedures
        .iter()
        .map(|procedure| {
            let of_services = bus::services(procedure).filter_map(|service| health.get(service).copied());
            Card { procedure, health: of_services.max().unwrap_or(Health::Unknown) }
        })
        .collect();
    Ok(html(StatusCode::OK, page::home(language, &session, &cards)))
}

pub(super) async fn today(
    State(app): State<Arc<App>>,
    Path(language): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    let (language, session) = signed_in(&app, &language, &headers)?;
    let lines = app.inquiries.today(&session.clerk).into_iter().map(|line| {
        let is_kept = app.inquiries.get(&session.clerk, line.id, Instant::now()).is_some();
        DayLine { line, is_kept }
    });
    Ok(html(StatusCode::OK, page::today(language, &session, &lines.collect::<Vec<_>>())))
}
