//! `ConnectionSlots` bounds the connections to a database: a call holds a `ConnectionSlot` while it uses one,
//! and waits for it no longer than `acquire_timeout` and its own deadline.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chapar_model::Reason;
use chapar_telemetry::{Gauge, SourceFigures};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Failure, Reading};

/// The slots of one source.
pub(crate) struct ConnectionSlots {
    permits: Arc<Semaphore>,
    acquire_timeout: Duration,
    figures: SourceFigures,
}

/// The right to use one connection, until it is dropped.
pub(crate) struct ConnectionSlot {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// Counts one more in a gauge until it is dropped.
pub(crate) struct Counted(Gauge);

impl Counted {
    pub(crate) fn in_gauge(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl ConnectionSlots {
    pub(crate) fn new(connections: usize, acquire_timeout: Duration, figures: SourceFigures) -> Self {
        Self { permits: Arc::new(Semaphore::new(connections)), acquire_timeout, figures }
    }

    /// Waits for a free slot, and says why there was none.
    pub(crate) async fn take(&self, reading: &Reading) -> Result<ConnectionSlot, Failure> {
        // The wait ends at the earlier of both times, and which of them it was decides the reason below.
        let patience = (Instant::now() + self.acquire_timeout).min(reading.deadline);
        let free = Arc::clone(&self.permits).acquire_owned();
        let waited = {
            let _waiting = Counted::in_gauge(&self.figures.waiting);
            tokio::time::timeout_at(patience.into(), free).await
        };
        match waited {
            Ok(Ok(permit)) => {
                Ok(ConnectionSlot { _permit: permit, _counted: Counted::in_gauge(&self.figures.used) })
            }
            _ => {
                self.figures.timeouts.inc();
                Err(match patience == reading.deadline {
                    true => reading.is_late(),
                    false => Failure::new(Reason::SourceBusy, "no connection became free in time"),
                })
            }
        }
    }
}
