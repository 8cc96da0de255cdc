//! `Console` serves pages for an operator's browser on this machine: overview, calls, traces, grants. It
//! holds the operator's certificate and asks the gateways, so that no browser needs a certificate and no
//! gateway serves pages. It only reads, and its pages need no script.

mod grants;
mod guard;
mod overview;
mod page;
mod trace;
mod traces;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Router, middleware};
use hyper_util::service::TowerToHyperService;
use maud::html;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bus::{Bus, is_absent};
use crate::check;
use page::Frame;
use traces::Filter;

/// Why the console cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Whoever reaches the pages reads them without signing in.
    #[error(
        "{0} is not an address of this machine alone: the console asks nobody who they are, so it listens on loopback; \
         reach it from elsewhere by `ssh -L`"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be listened on.
    #[error("{address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A console that has its port, and does not serve yet.
pub struct Console {
    listener: TcpListener,
    address: SocketAddr,
    bus: Arc<Bus>,
}

impl Console {
    /// Takes the port, which is one of loopback.
    ///
    /// # Errors
    /// [`Error`] naming the address.
    pub async fn bind(listen: SocketAddr, bus: Bus) -> Result<Self, Error> {
        if !listen.ip().is_loopback() {
            return Err(Error::NotLoopback(listen));
        }
        let failed = |source| Error::Listen { address: listen, source };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address, bus: Arc::new(bus) })
    }

    /// Where its pages begin.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Serves until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        let pages = Router::new()
            .route("/", get(overview))
            .route("/traces", get(traces))
            .route("/traces/{id}", get(trace))
            .route("/grants", get(grants))
            .route("/style.css", get(style))
            .fallback(not_found)
            .with_state(self.bus)
            .layer(middleware::from_fn(guard::guarded));
        chapar_transport::admin::serve(self.listener, TowerToHyperService::new(pages), stop).await;
    }
}

async fn overview(State(bus): State<Arc<Bus>>, headers: HeaderMap, uri: Uri) -> Response {
    let frame = Frame::new(&headers, &uri, "/");
    let (answers, checks) = check::run(&bus).await;
    frame
        .page(overview::title(frame.language()), &overview::content(&frame, &answers, &checks))
        .into_response()
}

async fn grants(State(bus): State<Arc<Bus>>, headers: HeaderMap, uri: Uri) -> Response {
    let frame = Frame::new(&headers, &uri, "/grants");
    let answers = bus.status().await;
    frame.page(grants::title(frame.language()), &grants::content(&frame, &answers)).into_response()
}

async fn traces(
    State(bus): State<Arc<Bus>>,
    headers: HeaderMap,
    uri: Uri,
    Query(filter): Query<Filter>,
) -> Response {
    let frame = Frame::new(&headers, &uri, "/traces");
    let title = traces::title(frame.language());
    let Some(request) = filter.request() else {
        return (StatusCode::BAD_REQUEST, frame.page(title, &traces::unreadable(&frame, &filter)))
            .into_response();
    };
    let answers = bus.traces(&request).await;
    frame.page(title, &traces::content(&frame, &filter, &answers)).into_response()
}

async fn trace(
    State(bus): State<Arc<Bus>>,
    headers: HeaderMap,
    uri: Uri,
    Path(id): Path<String>,
) -> Response {
    let frame = Frame::new(&headers, &uri, "/traces");
    let title = trace::title(frame.language());
    match bus.find_trace(&id).await {
        Ok(found) => frame.page(title, &trace::content(&frame, &found)).into_response(),
        Err(error) if is_absent(&error) => {
            (StatusCode::NOT_FOUND, frame.page(title, &trace::not_kept(&frame))).into_response()
        }
        Err(error) => {
            let content = html! { p.failed { (error) } };
            (StatusCode::BAD_GATEWAY, frame.page(title, &content)).into_response()
        }
    }
}

async fn not_found(headers: HeaderMap, uri: Uri) -> Response {
    let frame = Frame::new(&headers, &uri, "/");
    let title = frame.language().pick("این صفحه نیست", "There is no such page");
    let content = html! { p { a href=(frame.link("/", &[])) { (overview::title(frame.language())) } } };
    (StatusCode::NOT_FOUND, frame.page(title, &content)).into_response()
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("console/style.css")).into_response()
}
