//! `[witnesses]` of `gateway.toml`: who cosigns the evidence log's checkpoints, and how many of them must.
//! The files that it names are read when a gateway starts or is checked.

use std::path::{Path, PathBuf};
use std::time::Duration;

use chapar_evidence::CosignerKey;
use chapar_evidence::verify;
use chapar_transport::post::Endpoint;
use serde::Deserialize;

/// `[witnesses]`: absent, nobody cosigns.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witnesses {
    /// How many must have cosigned a checkpoint for it to be published as cosigned: 1 to their number.
    pub quorum: usize,
    /// How long entries may be without such a checkpoint before calls are refused as `EVIDENCE_UNAVAILABLE`,
    /// `"1m"` or more. Absent: they never are.
    #[serde(default, deserialize_with = "grace")]
    pub grace: Option<Duration>,
    /// `[[witnesses.witness]]`.
    pub witness: Vec<Witness>,
}

/// One witness.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Witness {
    /// `http://HOST:PORT[/PATH]` or `https://…`; checkpoints go to `add-checkpoint` below it.
    pub url: String,
    /// File with its public key (C2SP vkey of a cosigner).
    pub key: PathBuf,
    /// CA certificates (PEM) for `https`; required there.
    pub ca: Option<PathBuf>,
}

/// Why `[witnesses]` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// A file cannot be read, or holds no key.
    #[error("`[witnesses]` names {}, which {problem}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A URL or a CA cannot be used.
    #[error("`[witnesses]`: {0}")]
    Endpoint(#[from] chapar_transport::Error),
    /// The keys and the quorum do not fit.
    #[error("`[witnesses]`: {0}")]
    Policy(#[from] verify::WitnessesError),
}

/// A witness that can be asked.
#[derive(Clone)]
pub(crate) struct Reachable {
    pub(crate) url: String,
    pub(crate) key: CosignerKey,
    pub(crate) endpoint: Endpoint,
}

/// The shortest grace: a witness that starts again takes some seconds.
const MIN_GRACE: Duration = Duration::from_secs(60);

impl Witnesses {
    pub(super) fn resolve(&mut self, base: &Path) {
        for witness in &mut self.witness {
            witness.key = base.join(&witness.key);
            if let Some(ca) = &mut witness.ca {
                *ca = base.join(&*ca);
            }
        }
    }

    /// The witnesses with what their files hold, and the policy that they make.
    ///
    /// # Errors
    /// [`WitnessError`] naming what is at fault.
    pub(crate) fn read(&self) -> Result<(Vec<Reachable>, verify::Witnesses), WitnessError> {
        let witnesses = self.witness.iter().map(Witness::read).collect::<Result<Vec<_>, _>>()?;
        let keys = witnesses.iter().map(|witness| witness.key.clone()).collect();
        let policy = verify::Witnesses::new(keys, self.quorum)?;
        Ok((witnesses, policy))
    }
}

impl Witness {
    fn read(&self) -> Result<Reachable, WitnessError> {
        let wrong = |problem: String| WitnessError::Key { path: self.key.clone(), problem };
        let text =
            chapar_files::read_text(&self.key).map_err(|error| wrong(format!("cannot be read: {error}")))?;
        let key = text.trim().parse().map_err(|_| wrong("holds no public key of a witness".to_owned()))?;
        let endpoint = Endpoint::new(&self.url, self.ca.as_deref())?;
        Ok(Reachable { url: self.url.clone(), key, endpoint })
    }
}

fn grace<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let grace = jiff::fmt::serde::unsigned_duration::friendly::compact::required::deserialize(deserializer)?;
    let wrong = || serde::de::Error::custom("`grace` is 1m or more");
    (grace >= MIN_GRACE).then_some(Some(grace)).ok_or_else(wrong)
}
