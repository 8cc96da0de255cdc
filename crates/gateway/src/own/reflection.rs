//! This module serves `grpc.reflection` v1 and v1alpha: a caller sees the gateway's own services and the
//! methods that it may call, in the original descriptor bytes with options and comments.

mod filter;
mod query;

use std::pin::Pin;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::caller::caller;
use query::{Query, ReflectionAnswer};

pub(crate) use query::{Directory, visible_descriptors};

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Reflection over what [`Directory`] shows to the caller of each stream.
#[derive(Clone)]
pub(crate) struct Reflection(pub(crate) Arc<Directory>);

/// The two versions of the protocol are the same messages under two packages.
macro_rules! serve_reflection {
    ($version:ident) => {
        mod $version {
            use super::*;
            use pb::server_reflection_request::MessageRequest as Asked;
            use pb::server_reflection_response::MessageResponse as Said;
            use tonic_reflection::pb::$version as pb;

            #[tonic::async_trait]
            impl pb::server_reflection_server::ServerReflection for Reflection {
                type ServerReflectionInfoStream = Answers<pb::ServerReflectionResponse>;

                async fn server_reflection_info(
                    &self,
                    request: Request<Streaming<pb::ServerReflectionRequest>>,
                ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
                    // The view is made once for each stream, so that all its answers are of one state of the
                    // registry.
                    let view = self.0.view(caller(&request)?);
                    let answers = request.into_inner().map(move |asked| {
                        let asked = asked?;
                        let query = match &asked.message_request {
                            Some(Asked::ListServices(_)) => Query::Services,
                            Some(Asked::FileByFilename(name)) => Query::File(name),
                            Some(Asked::FileContainingSymbol(symbol)) => Query::Symbol(symbol),
                            Some(Asked::FileContainingExtension(_) | Asked::AllExtensionNumbersOfType(_))
                            | None => Query::Other,
                        };
                        Ok(pb::ServerReflectionResponse {
                            valid_host: asked.host.clone(),
                            message_response: Some(say(view.answer(query))),
                            original_request: Some(asked),
                        })
                    });
                    Ok(Response::new(Box::pin(answers)))
                }
            }

            fn say(answer: ReflectionAnswer) -> Said {
                match answer {
                    ReflectionAnswer::Services(names) => {
                        Said::ListServicesResponse(pb::ListServiceResponse {
                            service: names.into_iter().map(|name| pb::ServiceResponse { name }).collect(),
                        })
                    }
                    ReflectionAnswer::Files(files) => {
                        Said::FileDescriptorResponse(pb::FileDescriptorResponse {
                            file_descriptor_proto: files.into_iter().map(|file| file.to_vec()).collect(),
                        })
                    }
                    ReflectionAnswer::Unknown(code) => Said::ErrorResponse(pb::ErrorResponse {
                        error_code: code as i32,
                        error_message: "not known to this caller".to_owned(),
                    }),
                }
            }
        }
    };
}

serve_reflection!(v1);
serve_reflection!(v1alpha);
