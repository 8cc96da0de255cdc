//! `Exit` is how a command ends: the exit codes of `docs/reference/cli.md`. `Failure` is an error with its
//! exit code.

use std::fmt;
use std::process::ExitCode;

use miette::Diagnostic;

/// The exit code of a finished command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exit {
    /// Done: 0.
    Ok,
    /// A check found something, or something could not be done: 1.
    Finding,
    /// The command line is wrong: 2.
    Usage,
    /// A check of a running bus failed: 2, as monitoring plug-ins have it for critical.
    ChecksFailed,
    /// The gateway cannot be reached: 3.
    Unreachable,
    /// Evidence does not verify: 4.
    EvidenceInvalid,
    /// A call was refused: 64 + the gRPC status code.
    Refused(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Finding => 1,
            Self::Usage | Self::ChecksFailed => 2,
            Self::Unreachable => 3,
            Self::EvidenceInvalid => 4,
            Self::Refused(code) => code.saturating_add(64),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command could not do its work, for a person, and the exit code that says so to a script.
#[derive(Debug)]
pub struct Failure {
    /// The code.
    pub exit: Exit,
    /// The text, with the place in a file where there is one.
    pub report: miette::Report,
}

impl Failure {
    /// A failure that is one sentence.
    pub fn new(exit: Exit, sentence: impl fmt::Display) -> Self {
        Self { exit, report: miette::miette!("{sentence}") }
    }

    /// A mistake in the command line.
    pub fn usage(sentence: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, sentence)
    }

    /// A diagnostic with code snippets, exit 1.
    pub fn finding(diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { exit: Exit::Finding, report: miette::Report::new(diagnostic) }
    }

    /// An error with its causes, exit `exit`.
    pub fn error(exit: Exit, error: impl std::error::Error + Send + Sync + 'static) -> Self {
        use miette::IntoDiagnostic as _;
        match Err::<(), _>(error).into_diagnostic() {
            Err(report) => Self { exit, report },
            // Not reached: the value above is always an error.
            Ok(()) => Self::new(exit, ""),
        }
    }
}

/// What a command returns.
pub type Outcome = Result<Exit, Failure>;
