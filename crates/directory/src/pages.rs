//! The routes of what is kept in memory: code tables and local maps. Institutions and staff have
//! [`crate::registry::Registries::routes`].

use std::sync::Arc;

use web::Routes;

use crate::Directory;

/// The routes of terminology.
pub fn routes(directory: Arc<Directory>) -> Routes<()> {
    crate::terminology::pages::routes(directory)
}
