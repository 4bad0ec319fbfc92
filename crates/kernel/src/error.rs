//! Two ways to fail: a *refusal*, which the user can understand and mend, and a *fault*, which only we can.

/// What kind of refusal it is; the web layer alone turns this into a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request is malformed or breaks a rule (400 / 422).
    Invalid,
    /// Nobody has signed in, or the credential is wrong (401).
    Unauthenticated,
    /// The caller lacks the right (403).
    Forbidden,
    /// There is no such thing, or it is out of reach (404).
    NotFound,
    /// The state of the thing does not allow this (409).
    Conflict,
    /// The body is larger than allowed (413).
    TooLarge,
    /// Too much at once; come back after the given number of seconds (429).
    Busy {
        /// Seconds after which to try again.
        retry_after: u32,
    },
    /// A part the request needs is out of order for now (503).
    Unavailable,
}

/// A refusal: a stable code for programs and a Chinese sentence for people (what happened, where, what to do).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    /// The kind, for the status code.
    pub kind: RefusalKind,
    /// Stable, machine-readable, e.g. `batch.unknown_dataset`.
    pub code: &'static str,
    /// For the user, in Chinese.
    pub message: String,
}

impl Refusal {
    /// A refusal of the given kind.
    pub fn new(kind: RefusalKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into() }
    }
    /// The request is malformed or breaks a rule.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Invalid, code, message)
    }
    /// There is no such thing, or it is out of the caller's reach; the two must look the same.
    pub fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, code, message)
    }
    /// The caller lacks the right.
    pub fn forbidden(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Forbidden, code, message)
    }
    /// The state of the thing does not allow this.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(RefusalKind::Conflict, code, message)
    }
}

/// Either a refusal or a fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The user can mend it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Only we can mend it; the user is shown an incident number, never this text.
    #[error("{doing}: {source}")]
    Fault {
        /// What the program was doing.
        doing: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result type of everything that can be refused or fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// A fault while doing something.
    pub fn fault(doing: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Error::Fault { doing, source: source.into() }
    }
}

/// Says what the program was doing when something went wrong: `query.await.doing("read the person")?`.
pub trait Doing<T> {
    /// Wraps the error as a fault.
    fn doing(self, what: &'static str) -> Result<T>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Doing<T> for std::result::Result<T, E> {
    fn doing(self, what: &'static str) -> Result<T> {
        self.map_err(|source| Error::fault(what, source))
    }
}
