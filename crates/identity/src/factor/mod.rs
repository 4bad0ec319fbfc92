//! What proves a person beside the password: one-time codes (动态口令), recovery codes (备用码), passkeys (通行密钥),
//! certificates (数字证书).

pub mod code;
pub mod codes;
pub mod pages;
pub mod passkey;
mod sealed;
pub mod store;

pub use sealed::parts;

use ::store::Settings;
use catalog::{Catalog, Role};
use kernel::Act;
use web::{Access, Routes};

use crate::Identity;

/// The routes of one's own second factors.
pub(crate) fn routes(identity: &Identity) -> Routes<()> {
    let own = Access::SignedIn("everybody looks after the factors of their own account");
    Routes::new()
        .get("/account/code", own, pages::enrol)
        .post("/account/code", own, pages::confirm)
        .post("/account/code/remove", own, pages::remove)
        .post("/account/recovery", own, pages::new_recovery)
        .with_state(identity.clone())
        .merge(passkey::routes(identity))
}

/// Whether the operator wants a second factor of a holder of these roles (`sign_in.second_factor`).
pub fn required(options: &Settings, catalog: &Catalog, roles: &[String]) -> bool {
    match options.text("sign_in.second_factor").as_str() {
        "all" => true,
        "duties" => roles.iter().filter_map(|code| catalog.role(code)).any(on_duty),
        "administrators" => roles.iter().filter_map(|code| catalog.role(code)).any(administers),
        "roles" => {
            let codes = options.text("sign_in.second_factor_roles");
            codes.split([',', '，', ' ']).any(|code| roles.iter().any(|role| role == code.trim()))
        }
        _ => false,
    }
}

/// Whether a role belongs to one of the three administrators (system, security, audit).
fn on_duty(role: &Role) -> bool {
    role.grants.iter().any(|right| right.line.is_duty())
}

/// Whether a role manages, grants or belongs to one of the three administrators.
fn administers(role: &Role) -> bool {
    on_duty(role) || role.grants.iter().any(|right| matches!(right.act, Act::Manage | Act::Grant))
}
