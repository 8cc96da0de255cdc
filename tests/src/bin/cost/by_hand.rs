//! The server that one would write by hand: tonic, prost and the driver, one query, one message. It checks
//! the caller's certificate against the CA, and nothing else that the adapter does.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use chapar_tests::measure::Error;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::driver::{Database, Found};

#[derive(Clone, PartialEq, prost::Message)]
struct GetPersonRequest {
    #[prost(string, tag = "1")]
    national_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Date {
    #[prost(int32, tag = "1")]
    year: i32,
    #[prost(int32, tag = "2")]
    month: i32,
    #[prost(int32, tag = "3")]
    day: i32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Person {
    #[prost(string, tag = "1")]
    national_id: String,
    #[prost(string, tag = "2")]
    given_name: String,
    #[prost(string, tag = "3")]
    family_name: String,
    #[prost(message, optional, tag = "4")]
    birth_date: Option<Date>,
}

/// Serves until it is killed.
pub(crate) async fn serve(port: u16, dir: &Path, database: &str) -> Result<(), Error> {
    let read = |name: &str| std::fs::read(dir.join("pki").join(name));
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(read("civil.crt")?, read("civil.key")?))
        .client_ca_root(Certificate::from_pem(read("ca.crt")?));
    let service = Register(Arc::new(Database::open(database, dir).await?));
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    Ok(Server::builder().tls_config(tls)?.add_service(service).serve(address).await?)
}

#[derive(Clone)]
struct Register(Arc<Database>);

impl tonic::server::NamedService for Register {
    const NAME: &'static str = "civil.v1.CivilRegistry";
}

impl tonic::server::UnaryService<GetPersonRequest> for Register {
    type Response = Person;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Person>, Status>> + Send>>;

    fn call(&mut self, request: Request<GetPersonRequest>) -> Self::Future {
        let database = Arc::clone(&self.0);
        Box::pin(async move {
            let found = database.person(request.into_inner().national_id).await;
            let found = found.map_err(|error| Status::unavailable(error.to_string()))?;
            let found = found.ok_or_else(|| Status::not_found("no such person"))?;
            Ok(Response::new(person(found)?))
        })
    }
}

fn person(found: Found) -> Result<Person, Status> {
    let mut parts = found.birth_date.split('-').map(str::parse);
    let mut part = || parts.next().and_then(Result::ok).ok_or_else(|| Status::data_loss("no date"));
    let date = Date { year: part()?, month: part()?, day: part()? };
    Ok(Person {
        national_id: found.national_id,
        given_name: found.given_name,
        family_name: found.family_name,
        birth_date: Some(date),
    })
}

/// What tonic's generated code does for a service with one method.
impl tower_service::Service<http::Request<tonic::body::Body>> for Register {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(service, request).await)
        })
    }
}
