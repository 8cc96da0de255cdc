//! `Session` is a connection to a gateway under one identity. It finds the method that a typed name means,
//! makes calls, and asks the gateway about itself. `chapar-client` speaks to the gateway; this module decides
//! what an error means to a terminal and to a script (exit code).

use std::path::PathBuf;

use bytes::Bytes;
use chapar_client::{
    AskProcedureRequest, CallError, CallMetadata, CallSpec, Client, Config, GrantUsage, Messages, Parts,
    Procedure, WhoAmI, descriptors_from_file,
};
use chapar_model::{Code, MethodPath};
use prost_reflect::{DescriptorPool, MethodDescriptor};

use super::connect::{ConnectArgs, Target};
use super::rights::Right;
use super::{names, refusal};
use crate::exit::{Exit, Failure};

/// An open connection.
pub(super) struct Session {
    client: Client,
    /// The descriptors that the gateway shows, once they were asked for.
    shown: Option<DescriptorPool>,
    /// A file of descriptors beside those.
    descriptors: Option<PathBuf>,
}

/// A method as the caller typed it, resolved.
pub(super) struct Method {
    pub(super) path: MethodPath,
    /// `None` if neither the bus nor a file shows it: then the bus will say why.
    pub(super) descriptor: Option<MethodDescriptor>,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// A usage failure; else as [`Session::connect`].
    pub(super) async fn open(args: &ConnectArgs) -> Result<Self, Failure> {
        Self::connect(args.target()?).await
    }

    /// Connects to a known gateway.
    ///
    /// # Errors
    /// A file that cannot be used, or [`Exit::Unreachable`].
    pub(super) async fn connect(target: Target) -> Result<Self, Failure> {
        let Target { gateway, server_name, cert, key, ca, descriptors } = target;
        let client = Client::connect(Config { gateway, server_name, cert, key, ca }).await?;
        Ok(Self { client, shown: None, descriptors })
    }

    /// The descriptors of everything that the bus shows to this identity.
    pub(super) async fn pool(&mut self) -> Result<DescriptorPool, Failure> {
        if let Some(pool) = &self.shown {
            return Ok(pool.clone());
        }
        let pool = self.client.all_descriptors().await?;
        self.shown = Some(pool.clone());
        Ok(pool)
    }

    /// The descriptors of the descriptors' file, if one is named.
    pub(super) fn fallback(&self) -> Result<Option<DescriptorPool>, Failure> {
        let pool = self.descriptors.as_deref().map(descriptors_from_file).transpose();
        pool.map_err(|error| Failure::new(Exit::Finding, error))
    }

    /// The method that `typed` means: among those that the bus shows, then among those of the descriptors'
    /// file.
    pub(super) async fn method(&mut self, typed: &str) -> Result<Method, Failure> {
        let shown = self.pool().await?;
        let why = match find(&shown, typed)? {
            Ok(method) => return Ok(method),
            Err(why) => why,
        };
        if let Some(pool) = self.fallback()?
            && let Ok(method) = find(&pool, typed)?
        {
            return Ok(method);
        }
        // A full path is called although nothing describes it, so that the refusal of the bus is shown.
        match typed.parse() {
            Ok(path) => Ok(Method { path, descriptor: None }),
            Err(_) => Err(Failure::usage(why)),
        }
    }

    /// Makes a call; the answer's messages follow.
    pub(super) async fn call(&self, call: &CallSpec, request: Bytes) -> Result<Messages, CallError> {
        self.client.call_streaming(call, request).await
    }

    /// The procedures that this identity may ask.
    pub(super) async fn procedures(&self) -> Result<Vec<Procedure>, Failure> {
        Ok(self.client.procedures().await?)
    }

    /// Asks a procedure; the answers of its parts follow.
    pub(super) async fn ask(
        &self,
        request: AskProcedureRequest,
        metadata: CallMetadata,
    ) -> Result<Parts, Failure> {
        Ok(self.client.ask_procedure(request, metadata).await?)
    }

    /// What this identity may call.
    pub(super) async fn rights(&self) -> Result<Vec<Right>, Failure> {
        let allowed = known("AllowedMethods", self.client.allowed_methods().await)?;
        Ok(allowed.into_iter().map(Right::from).collect())
    }

    /// Current use of the limits of this identity's grants.
    pub(super) async fn limits(&self) -> Result<Vec<GrantUsage>, Failure> {
        known("MyLimits", self.client.limits().await)
    }

    /// The identity under which the gateway knows this caller.
    pub(super) async fn whoami(&self) -> Result<WhoAmI, Failure> {
        known("WhoAmI", self.client.who_am_i().await)
    }

    /// The receipt of an entry, as a file's bytes.
    pub(super) async fn receipt(&self, entry: &str) -> Result<Vec<u8>, Failure> {
        Ok(known("GetReceipt", self.client.receipt(entry).await)?.to_bytes())
    }
}

/// The answer of a method of `chapar.meta.v1.Meta`. An older gateway may lack the method, which is no refusal
/// of this caller.
fn known<T>(method: &str, answered: Result<T, CallError>) -> Result<T, Failure> {
    answered.map_err(|error| match error {
        CallError::Refused(refused) if refused.code == Code::Unimplemented as u8 => {
            Failure::new(Exit::Finding, format_args!("the gateway has no chapar.meta.v1.Meta/{method}"))
        }
        error => error.into(),
    })
}

/// Outer error: the name is not a path. Inner: nothing fits, and why.
fn find(pool: &DescriptorPool, typed: &str) -> Result<Result<Method, String>, Failure> {
    let methods: Vec<MethodDescriptor> =
        pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect();
    let path =
        |method: &MethodDescriptor| format!("{}/{}", method.parent_service().full_name(), method.name());
    let known: Vec<String> = methods.iter().map(path).collect();
    let name = match names::resolve(typed, &known) {
        Ok(name) => name,
        Err(why) => return Ok(Err(why)),
    };
    let parsed =
        name.parse().map_err(|_| Failure::new(Exit::Finding, format_args!("`{name}` is no method path")))?;
    Ok(Ok(Method { path: parsed, descriptor: methods.into_iter().find(|method| path(method) == name) }))
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let sentence = error.to_string();
        match error {
            CallError::Refused(refused) => Self::new(Exit::Refused(refused.code), refusal::text(&refused)),
            // The gateway keeps the same deadline, so a script sees one exit code, whichever end was first.
            CallError::Late { call_id } => {
                let late = refusal::late(call_id, &sentence);
                Self::new(Exit::Refused(late.code), refusal::text(&late))
            }
            // Both have one exit code; the sentence says whether the call may have been made.
            CallError::Broken { .. } | CallError::Unreachable { .. } => {
                Self::new(Exit::Unreachable, sentence)
            }
            CallError::Config(_) | CallError::Garbled { .. } => Self::new(Exit::Finding, sentence),
            CallError::Unsendable { .. } => Self::usage(sentence),
        }
    }
}
