//! `Asking` answers one call in process, under a right to every field and row: for the agency itself, which
//! tries its statements out before it has a certificate. No gateway is asked and nothing is recorded.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use chapar_contract::Method;
use chapar_model::{MethodPath, Reason};
use chapar_telemetry::SourceMetrics;

use crate::call::sink_of;
use crate::config::Config;
use crate::error::Error;
use crate::finding::Findings;
use crate::load::{Loaded, load};
use crate::page::{Asker, Page};
use crate::published::MethodState;
use crate::served_method::{Look, ServedMethod};
use crate::shape::Cardinality;
use crate::source::{Failure, Reading};

/// The methods of an adapter's settings, ready to be asked.
pub struct Asking {
    loaded: Loaded,
}

/// How a call ended.
#[derive(Debug)]
pub enum Asked {
    /// Every message of the answer.
    Answered(Vec<Bytes>),
    /// It was refused for this reason; the sentence is for the agency.
    Refused(Reason, String),
}

impl Asking {
    /// Loads everything that `config` names, apart from certificates.
    ///
    /// # Errors
    /// [`Error`]: what is wrong with the files, or every finding if no method fits.
    pub async fn load(config: &Config) -> Result<Self, Error> {
        let loaded =
            Box::pin(load(config, Look::AtStatements, &SourceMetrics::default())).await?.in_part()?;
        Ok(Self { loaded })
    }

    /// The methods that `name` names: as `PACKAGE.SERVICE/METHOD`, or by the end of it.
    pub fn methods(&self, name: &str) -> Vec<Arc<Method>> {
        let is_meant = |path: &MethodPath| {
            let path = path.as_str();
            path == name || path.ends_with(&format!("/{name}")) || path.ends_with(&format!(".{name}"))
        };
        let methods = self.loaded.methods.iter().filter(|method| is_meant(method.path()));
        methods.map(|method| Arc::clone(method.contract())).collect()
    }

    /// Calls a method with a request message.
    ///
    /// # Errors
    /// [`Error::Files`] with what is wrong, if the method does not fit the database.
    pub async fn ask(&self, method: &MethodPath, request: &[u8]) -> Result<Asked, Error> {
        let published = self.loaded.methods.iter().find(|known| known.path() == method);
        let Some(published) = published else {
            return Ok(Asked::Refused(Reason::MethodUnknown, format!("there is no method {method}")));
        };
        let state = published.state();
        let served = match &*state {
            MethodState::Open(served) => served,
            MethodState::Closed(findings) => {
                Findings::check(findings.clone())?;
                return Ok(Asked::Refused(Reason::SchemaDrift, "the method is closed".to_owned()));
            }
        };
        Ok(match answer(served, request).await {
            Ok(messages) => Asked::Answered(messages),
            Err(failure) => {
                let field = failure.field.as_deref().map(|field| format!("`{field}`: ")).unwrap_or_default();
                Asked::Refused(failure.reason, format!("{field}{}", failure.detail))
            }
        })
    }
}

async fn answer(served: &ServedMethod, request: &[u8]) -> Result<Vec<Bytes>, Failure> {
    let bound = served.binder.bind(request)?;
    let fields = served.plans.every_field();
    // Nobody calls: a token of this command is for this command alone.
    let asker = || Asker { caller: String::new(), purpose: String::new(), fields: &fields, rows: "" };
    let page = served.pages.as_ref().map(|pages| Page::asked(pages, &bound, &asker())).transpose()?;
    let plan = served.plans.whole(page.as_ref().is_some_and(Page::is_next))?;
    let paged = page.as_ref().map(|page| page.sink(plan.encoder.clone(), plan.width()));
    let reading = Reading {
        sink: sink_of(&plan, paged.as_ref()),
        subject: bound.subject,
        most: page.as_ref().map_or(served.most, Page::rows),
        excess: served.excess,
        reader_waits: true,
        deadline: Instant::now() + served.timeout,
        late: Reason::SourceTimeout,
    };
    let fetched = plan.fetch.run(&bound.parameters, page.as_ref().map(Page::bindings), reading);
    let mut rows = fetched.await?;
    let mut bytes = BytesMut::new();
    let mut count = 0;
    loop {
        let batch = rows.next().await?;
        bytes.extend_from_slice(&batch.bytes);
        count += batch.rows;
        if batch.last {
            break;
        }
    }
    if let (Some(page), Some(paged)) = (&page, &paged) {
        bytes.extend_from_slice(&page.end(paged)?);
    }
    match served.plans.shape().cardinality {
        Cardinality::One if count == 0 => Err(Failure::new(Reason::RecordNotFound, "no row")),
        Cardinality::One | Cardinality::List(_) => Ok(vec![bytes.freeze()]),
        Cardinality::Stream => Ok(messages(bytes.freeze())),
    }
}

/// The messages of gRPC frames that stand one after the other: a flag, a length in 32 bits, a message.
fn messages(mut bytes: Bytes) -> Vec<Bytes> {
    let mut messages = Vec::new();
    while bytes.len() >= 5 {
        bytes.advance(1);
        let length = bytes.get_u32() as usize;
        messages.push(bytes.split_to(length.min(bytes.len())));
    }
    messages
}
