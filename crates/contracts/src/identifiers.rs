//! Systems of identifiers of persons, as interfaces name them.

/// Chinese citizen numbers (GB 11643).
pub const CITIZEN_SYSTEM: &str = "urn:oid:2.16.156.10011.1.3";

/// Before the code of an institution: the system of that institution's own patient numbers.
pub const LOCAL_NO_SYSTEM: &str = "urn:minkang:patient-no:";

/// The system of the patient numbers of the institution with this upload code.
pub fn local_no_system(code: &str) -> String {
    format!("{LOCAL_NO_SYSTEM}{code}")
}

/// The upload code of the institution whose patient numbers a system names; `None` for other systems.
pub fn institution_of_system(system: &str) -> Option<&str> {
    system.strip_prefix(LOCAL_NO_SYSTEM).filter(|code| !code.is_empty())
}
