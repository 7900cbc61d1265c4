//! The frame around every page.

use minijinja::context;
use minijinja::value::Value;

use super::App;
use super::assets::ASSETS;
use crate::access::Viewer;

/// What the layout of every page needs.
pub(super) fn layout(app: &App, viewer: Option<&Viewer>, nav: &str) -> Value {
    let at = app.live.renderer().addresses();
    context! {
        site => context! {
            css => at.at(&ASSETS.css()),
            js => at.at(&ASSETS.js()), page_js => at.at(&ASSETS.page()), site_js => at.at(&ASSETS.site()),
            operations => at.operations(),
            host => app.home.as_ref().filter(|_| !app.is_site).map(|home| context! { name => &*home.name, url => &*home.url }),
            // A host has pages of its own for these.
            home => app.is_site.then(|| at.at("/")),
            logout => app.is_site.then(|| at.at("/logout")),
        },
        viewer => viewer.map(|viewer| context! { name => &*viewer.name }),
        csrf => viewer.map(|viewer| app.csrf.token(viewer)).unwrap_or_default(),
        nav => nav,
    }
}
