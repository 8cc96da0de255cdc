//! `Candidate` is a method with its backend, and everything that is needed to find out whether contract, file
//! and source fit: at a start, at a reload, and again while it is served. What then answers calls is a
//! `ServedMethod`.

use std::sync::Arc;
use std::time::Duration;

use chapar_contract::Method;
use chapar_model::Reason;

use crate::backend::{Backend, Fitting};
use crate::bind::Binder;
use crate::finding::Finding;
use crate::method_file::Syntax;
use crate::page::{PageBindings, PageTokens, Pages};
use crate::plan::Plans;
use crate::served_method::{Look, ServedMethod};
use crate::shape::{Cardinality, Shape};
use crate::source::{Described, Tried};
use crate::unfit::Unfit;

/// A method that may be served.
pub(crate) struct Candidate {
    pub(crate) method: Arc<Method>,
    backend: Box<dyn Backend>,
    timeout: Duration,
    tokens: Arc<PageTokens>,
}

impl Candidate {
    /// `longest`: what the source's settings allow a call to take.
    pub(crate) fn new(
        method: &Arc<Method>,
        backend: Box<dyn Backend>,
        longest: Duration,
        tokens: &Arc<PageTokens>,
    ) -> Self {
        let timeout = method.timeout().min(longest);
        Self { method: Arc::clone(method), backend, timeout, tokens: Arc::clone(tokens) }
    }

    /// Compares contract, file and live source, and tries the method out.
    ///
    /// # Errors
    /// All findings at once, or that the source could not be asked.
    pub(crate) async fn prepare(&self, look: Look) -> Result<ServedMethod, Unfit> {
        let Self { method, backend, .. } = self;
        let file = backend.file();
        let about = |fault: String| file.finding_about("", fault);
        let mut shape =
            Shape::new(method).map_err(|faults| faults.into_iter().map(about).collect::<Vec<_>>())?;
        shape.convert(|column| file.conversion_of(column));
        shape.mark_sparse(|column| file.is_sparse(column));
        let described = match backend.describe().await {
            Ok(described) => Ok(described),
            Err(Unfit::Findings(findings)) => Err(findings),
            Err(unreachable) => return Err(unreachable),
        };
        // Both checks are made even if one fails, so that all findings come at once.
        let findings = match &described {
            Ok(described) => {
                shape.fit(&described.columns);
                backend.compare(method, &shape, described)
            }
            Err(findings) => findings.clone(),
        };
        let findings = match backend.describe_scoped(method).await {
            Ok(()) => findings,
            Err(Unfit::Findings(more)) if findings.is_empty() => more,
            Err(Unfit::Findings(_)) => findings,
            Err(unreachable) => return Err(unreachable),
        };
        let (binder, described) = match (Binder::new(method, file), described) {
            (Ok(binder), Ok(described)) if findings.is_empty() => (binder, described),
            (Ok(_), _) => return Err(findings.into()),
            (Err(faults), _) => return Err(findings.into_iter().chain(faults).collect::<Vec<_>>().into()),
        };
        let faults = backend.compare_bound(&binder, &described);
        if !faults.is_empty() {
            return Err(faults.into());
        }
        let pages = self.pages(&shape, &described).map_err(|finding| Unfit::Findings(vec![finding]))?;
        let keyset = pages.as_ref().map(|pages| pages.keyset.clone());
        let (most, excess) = match shape.cardinality {
            Cardinality::One => (1, Reason::RecordNotUnique),
            Cardinality::List(_) | Cardinality::Stream => (method.max_rows().into(), Reason::TooManyRows),
        };
        let plans = Plans::new(backend.planner(most, keyset), method.row_scopes(), shape);
        // What can be prepared may still fail when it runs, and the first caller must not be the one to find
        // out.
        self.try_out(&plans, &binder, look).await?;
        let remarks = match look {
            Look::AtValues => {
                let fitting = Fitting { method, plans: &plans, binder: &binder, described: &described };
                backend.look_at_values(fitting).await?
            }
            Look::AtStatements | Look::Again => Vec::new(),
        };
        Ok(ServedMethod {
            path: method.path().clone(),
            asks: backend.asks(),
            binder,
            plans,
            pages,
            remarks,
            timeout: self.timeout,
            most,
            excess,
            described,
        })
    }

    /// How the pages are made of a method whose contract has pages.
    fn pages(&self, shape: &Shape, described: &Described) -> Result<Option<Pages>, Finding> {
        let file = self.backend.file();
        let declared = file.page_by();
        let Some(token) = &shape.page_token else {
            return match declared.first() {
                None => Ok(None),
                Some(key) => {
                    let text = "`page by`: the contract's response has no `page_token`";
                    Err(file.finding_at(&key.name, text))
                }
            };
        };
        if declared.is_empty() && file.syntax == Syntax::Sql {
            let text = "the contract has pages, and the statement does not say by what they are ordered";
            let help =
                "begin the file with `-- page by: COLUMN, …`: columns that together are another for each row";
            return Err(file.finding_about("", text).with_help(help));
        }
        let keyset = self.backend.keyset(described)?;
        self.tokens.check().map_err(|fault| file.finding_about("", fault))?;
        Ok(Some(Pages {
            method: self.method.path().clone(),
            most: self.method.max_rows().into(),
            keyset,
            tokens: Arc::clone(&self.tokens),
            token_field: token.number(),
        }))
    }

    /// Fetches as calls will, under the widest grants that there can be.
    async fn try_out(&self, plans: &Plans, binder: &Binder, look: Look) -> Result<(), Unfit> {
        let Self { method, backend, .. } = self;
        let after = plans.sample_page();
        let page = PageBindings { after: &after, rows: 1 };
        let widest = plans.widest().map_err(|failure| backend.refused(&failure))?;
        for plan in widest.iter().take(plans.trials()) {
            let tried = plan.fetch.try_out(&binder.samples(), page).await;
            match tried.map_err(|failure| backend.refused(&failure))? {
                Tried::Ran => {}
                _ if look == Look::Again => {}
                Tried::Slow => tracing::warn!(
                    method = %method.path(),
                    "the statement is slow for a value that no record has, so it probably scans whole tables: \
                     add an index"
                ),
                Tried::RefusesTheSample(words) if backend.file().syntax == Syntax::Http => tracing::info!(
                    method = %method.path(), %words,
                    "the API refuses made-up values, and the method is open all the same: try it with real ones"
                ),
                Tried::RefusesTheSample(words) => tracing::info!(
                    method = %method.path(), %words,
                    "the statement fails with made-up parameter values but runs with NULL: try it with real \
                     values"
                ),
            }
        }
        Ok(())
    }
}
