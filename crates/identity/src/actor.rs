//! Who is written into the audit trail where no `Caller` exists yet: attempts to sign in.

use kernel::{Caller, CallerKind};

/// Somebody at an address who is not signed in, named as well as can be.
pub fn nobody(name: &str, address: &str) -> Caller {
    Caller {
        name: name.to_owned(),
        role: "未登录".to_owned(),
        address: address.to_owned(),
        ..Caller::blank(CallerKind::Staff)
    }
}

/// A login that nobody has, shortened: people type passwords into the wrong box, and the trail must not keep them.
pub fn shortened(login: &str) -> String {
    let start: String = login.chars().filter(|c| !c.is_control()).take(3).collect();
    format!("{start}…")
}
