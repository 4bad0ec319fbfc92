//! What every page and interface stands on: routes with a stated need, the caller, error pages, the frame of
//! a page, ui pieces and embedded assets. Contexts write handlers; only this crate turns errors into responses.

pub mod assets;
pub mod download;
pub mod failure;
pub mod frame;
pub mod mask;
pub mod policy;
pub mod route;
pub mod serve;
pub mod ui;
pub mod workbook;

pub use assets::asset_url;
pub use failure::{Failure, Reply};
pub use frame::{Face, Frame, section};
pub use policy::Policy;
pub use route::{Access, Allowed, Asking, Authenticator, PeerCertificate, RouteInfo, Routes};
pub use serve::{ClientAddress, Site, build_app};
