//! Icons from the sprite of Tabler icons; the sprite holds the names listed in `web/icons.txt`.

use maud::{Markup, html};

use crate::assets::asset_url;

/// An icon by its Tabler name. Decorative: words stand beside it or in the element's label.
pub fn icon(name: &str) -> Markup {
    html! {
        svg.mk-icon aria-hidden="true" { use href={ (asset_url("icons.svg")) "#" (name) } {} }
    }
}
