//! `Source` is where a log is read: from its gateway, or from a folder. What comes from it is not trusted.

use std::path::PathBuf;

use chapar_client::{CallError, Client};
use chapar_evidence::verify::Invalid;

use crate::config::SourceConfig;

/// One log's source.
pub(crate) enum Source {
    Gateway(Client),
    Folder(PathBuf),
}

/// Why it could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error(transparent)]
    Gateway(#[from] CallError),
    #[error(transparent)]
    Folder(#[from] Invalid),
    #[error("{0} is no text")]
    NotText(&'static str),
}

impl Source {
    /// # Errors
    /// A certificate, key or address that cannot be used.
    pub(crate) fn new(config: &SourceConfig) -> Result<Self, CallError> {
        match config {
            SourceConfig::Gateway(config) => Client::new(config.clone()).map(Self::Gateway),
            SourceConfig::Folder(folder) => Ok(Self::Folder(folder.clone())),
        }
    }

    /// The note of the newest checkpoint, and that of the newest cosigned one; empty before the first.
    pub(crate) async fn checkpoints(&self) -> Result<(String, String), SourceError> {
        match self {
            Self::Gateway(client) => {
                let known = client.log_checkpoints().await?;
                Ok((known.checkpoint, known.cosigned))
            }
            Self::Folder(folder) => {
                let path = folder.join("checkpoint");
                let read = tokio::fs::read(&path).await;
                let bytes = read.map_err(|source| Invalid::Read { path, source })?;
                let note = String::from_utf8(bytes).map_err(|_| SourceError::NotText("the checkpoint"))?;
                // A folder need not have the other, nor have it from the same moment.
                Ok((note, String::new()))
            }
        }
    }

    /// Whether it is a folder, which may be in the middle of a copy.
    pub(crate) fn is_folder(&self) -> bool {
        matches!(self, Self::Folder(_))
    }

    /// Entries from `start` on, below `until`, of a log whose checkpoint covers `size`: as many as come at
    /// once; none where there are none.
    pub(crate) async fn entries(
        &self,
        start: u64,
        until: u64,
        size: u64,
    ) -> Result<Vec<Vec<u8>>, SourceError> {
        let mut entries = match self {
            Self::Gateway(client) => client.log_entries(start).await?,
            Self::Folder(folder) => {
                let folder = folder.clone();
                let read = move || chapar_evidence::published_entries(&folder, start, size);
                let read = tokio::task::spawn_blocking(read).await;
                // A task that was cancelled, at the process's end.
                read.unwrap_or_else(|_| Ok(Vec::new()))?
            }
        };
        entries.truncate(usize::try_from(until.saturating_sub(start)).unwrap_or(usize::MAX));
        Ok(entries)
    }
}
